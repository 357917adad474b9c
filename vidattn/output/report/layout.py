"""Pages of drawings and tables in the style of the report: training curves, confusion matrices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vidattn.output.report.assets import load_template, read_asset, reveal, security_policy

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


def render_page(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """A self-contained HTML page; the same values give the same text."""
    from markupsafe import Markup

    script, style = read_asset("theme.js"), read_asset("base.css", "layout.css")
    return load_template("layout.html.j2").render(
        script=Markup(script),
        style=Markup(style),
        policy=security_policy(script, style),
        title=reveal(title),
        facts=[reveal(fact) for fact in facts],
        sections=sections,
        drawing=Markup,
        kind=lambda cell: type(cell).__name__,
        is_number=lambda cell: isinstance(cell, str) and re.fullmatch(NUMBER, cell),
        shown=reveal,
    )
