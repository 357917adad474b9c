"""A page of drawings and tables, in the looks of the report: curves of a run, confusions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vidattn.output.report.assets import load_template, read_asset, reveal, security_policy

NUMBER = r"[-+]?[\d.,]+(e[-+]\d+)?( %)?"
"""What stands to the right in a column."""


@dataclass(frozen=True)
class ShareBar:
    """A cell of a table that shows a share."""

    share: float
    """From 0 to 1."""
    text: str


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    note: str = ""
    drawing: str = ""
    """SVG whose text is escaped already."""
    head: tuple[str, ...] = ()
    rows: Sequence[Sequence[str | ShareBar]] = ()
    """Of a table under `head`; the first column is text, others too, or numbers, or bars."""


def render_page(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """The page as HTML, whole in itself; the same values give the same text."""
    from markupsafe import Markup

    script, style = read_asset("theme.js"), read_asset("base.css") + read_asset("layout.css")
    return load_template("layout.html.j2").render(
        script=Markup(script),
        style=Markup(style),
        policy=security_policy(script, style),
        title=reveal(title),
        facts=[reveal(fact) for fact in facts],
        sections=sections,
        drawing=Markup,
        is_bar=lambda cell: isinstance(cell, ShareBar),
        is_number=lambda cell: isinstance(cell, str) and re.fullmatch(NUMBER, cell),
        shown=reveal,
    )
