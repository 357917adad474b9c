"""Pages of drawings and tables in the style of the report: training curves, confusion matrices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidattn.io.json import dumps
from vidattn.output.report.assets import (
    escape_data,
    load_template,
    read_asset,
    reveal,
    security_policy,
)

NUMBER = r"[-+]?[\d.,:]+(e[-+]\d+)?( %| s)?"
"""Pattern of right-aligned cells."""


@dataclass(frozen=True)
class ShareBar:
    """A table cell that shows a share as a bar."""

    share: float
    """From 0 to 1."""
    text: str
    color: str = "right"
    """CSS class."""


@dataclass(frozen=True)
class Link:
    """A table cell that leads to another page."""

    text: str
    address: str
    """Quoted already."""


@dataclass(frozen=True)
class Drawing:
    """A table cell with SVG; its text is escaped already."""

    svg: str


@dataclass(frozen=True)
class Section:
    """A titled section of a page."""

    title: str
    note: str = ""
    drawing: str = ""
    """SVG; its text is escaped already."""
    head: tuple[str, ...] = ()
    rows: Sequence[Sequence[str | ShareBar | Link | Drawing]] = ()
    """Of a table under `head`; the first column is text."""


def render_page(
    title: str,
    facts: Sequence[str],
    sections: Sequence[Section],
    *,
    scripts: Sequence[str] = ("theme.js",),
    data: Mapping[str, Any] | None = None,
) -> str:
    """A self-contained HTML page; the same values give the same text.

    scripts: those that it runs, in order. data: JSON values for them, in the element `data`.
    """
    from markupsafe import Markup

    script, style = read_asset(*scripts), read_asset("base.css", "layout.css")
    return load_template("layout.html.j2").render(
        script=Markup(script),
        style=Markup(style),
        policy=security_policy(script, style),
        title=reveal(title),
        facts=[reveal(fact) for fact in facts],
        sections=sections,
        data=Markup(escape_data(dumps(data))) if data else None,
        drawing=Markup,
        kind=lambda cell: type(cell).__name__,
        is_number=lambda cell: isinstance(cell, str) and re.fullmatch(NUMBER, cell),
        shown=reveal,
    )
