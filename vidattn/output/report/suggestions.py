"""Windows to label next as a page: a picture of each, and a field for its label."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from vidattn.io.digest import sha256
from vidattn.io.json import dumps
from vidattn.io.text import name_area
from vidattn.output.report.layout import Drawing, Link, Section, render_page
from vidattn.output.suggestions import path_from
from vidattn.output.text import format_time
from vidattn.types import Suggestion

SHOWN = 3
"""Labels whose scores stand beside a window."""
KEYS = 9
"""Labels with a key of their own."""


def suggestions_page(
    found: Sequence[Suggestion],
    labels: Sequence[str],
    folder: Path,
    pictures: Mapping[int, bytes],
    *,
    several: bool = False,
) -> str:
    """The page, for a file in `folder`, where paths in it and in the table that it saves begin.

    labels: of the model, in its order; they have the keys 1 to 9. pictures: JPEG files by the
    number of the window. several: whether labels may hold at once.
    """
    rows = [_row(one, labels, folder, pictures.get(i, b"")) for i, one in enumerate(found)]
    windows = [
        [path_from(folder, one.path), one.window.start, one.window.stop, one.roi] for one in found
    ]
    keys = ", ".join(f"{i + 1} {label}" for i, label in enumerate(labels[:KEYS]))
    again = "; the same key takes a label back" if several else ""
    section = Section(
        "Windows to label next",
        f"The most useful first. Keys: {keys}{again}; letters begin any label, Enter or the arrows "
        "go on, Delete empties. “Save labels” writes a table for vidattn teach: keep it beside "
        "this page.",
        head=("picture", "video", "time", "looks like", "chosen because", "label"),
        rows=rows,
    )
    data = {
        "windows": windows,
        "labels": list(labels),
        "several": several,
        "digest": sha256(dumps(windows), 32),
    }
    scripts = ("theme.js", "dom.js", "save.js", "suggestions.js")
    lengths = sorted({f"{one.window.duration:.3g}" for one in found})
    facts = [f"windows of {' and '.join(lengths)} s"] if 0 < len(lengths) < 3 else []
    return render_page("Suggestions", facts, [section], scripts=scripts, data=data)


def _row(
    one: Suggestion, labels: Sequence[str], folder: Path, picture: bytes
) -> tuple[str | Link | Drawing, ...]:
    image = f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
    path, window = path_from(folder, one.path), one.window
    address = quote(Path(path).as_posix().encode("utf-8", "surrogateescape"), safe="/")
    title = name_area(Path(path).name, one.roi)
    order = sorted(range(len(labels)), key=lambda k: -one.scores[k])[:SHOWN]
    return (
        Drawing(f'<img alt="" src="{image}">' if picture else "no picture"),
        Link(title, f"{address}#t={window.start:.2f},{window.stop:.2f}"),
        format_time(window.start, hours=window.start >= 3600),
        ", ".join(f"{labels[k]} {100 * one.scores[k]:.0f} %" for k in order),
        one.why,
        "",
    )
