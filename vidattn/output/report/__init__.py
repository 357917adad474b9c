"""Timelines as one page of HTML that needs nothing else: no network, no server, no other file.

The page decides the segments again when its sliders move, from scores that are in it: see `table`.
Names of files and labels come from strangers. The template escapes them, the data lies in a block
that is never run, and the policy of the page lets nothing run but the script that belongs to it.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from vidattn.io.json import dumps
from vidattn.output.report.assets import UNSEEN, load_template, read_asset, reveal, security_policy
from vidattn.output.report.explanation import describe_explanation
from vidattn.output.report.scores import pack_scores
from vidattn.output.text import decimals_for, describe_coverage, round_ticks
from vidattn.output.xml import relative_path
from vidattn.timeline import Timeline
from vidattn.timeline.explanation import Explanation
from vidattn.types import ModelInfo, VideoInfo

STILL_HEIGHT = 96
"""Pixels of the shorter side of a picture: twice those of its row."""
HOUR = 3600.0
LONGEST_TABLE = 400
"""Rows that are there before the script runs, and for those who run none."""


def html(
    timeline: Timeline,
    *,
    folder: str | os.PathLike[str] | None = None,
    stills: Mapping[float, bytes] | None = None,
    explained: Sequence[Explanation] = (),
) -> str:
    """The page of a timeline.

    folder: where the page will lie, to find the film from there; None: beside the film. stills:
    JPEG files by the second of the film that they show. Without them the page has no pictures.
    explained: what some of its windows rest on, for a section about that.
    """
    from markupsafe import Markup

    document = timeline.to_dict()
    names = ("theme.js", "dom.js", "segments.js", "controls.js", "report.js")
    script = "".join(map(read_asset, names))
    style = read_asset("base.css") + read_asset("report.css")
    data = {**pack_scores(timeline), **_words(timeline, document, folder, stills or {})}
    return load_template("report.html.j2").render(
        data=Markup(_inert(dumps(data))),
        script=Markup(script),
        style=Markup(style),
        policy=security_policy(script, style),
        name=data["name"],
        facts=[reveal(fact) for fact in _facts(timeline.input, document["input"]["duration"])],
        model=reveal(_model(timeline.model)),
        seen=reveal(describe_coverage(timeline) + _lost(document["coverage"]["reasons"])),
        warnings=[reveal(warning) for warning in timeline.warnings],
        task=timeline.task,
        video=data["video"],
        segments=timeline.segments[:LONGEST_TABLE],
        count=len(timeline.segments),
        evidence=[describe_explanation(one) for one in explained],
        clock=partial(format_time, hours=document["input"]["duration"] >= HOUR),
        digits=decimals_for,
        fixed=format_fixed,
        shown=reveal,
    )


def strip_images(page: bytes) -> bytes:
    """A page without its pictures and its section on what labels rest on."""
    page = re.sub(rb'"stills": \[\[[^<]*?"\]\]', b'"stills": []', page, count=1)
    return re.sub(rb'\n<details id="evidence">.*?</details>', b"", page, count=1, flags=re.DOTALL)


def format_time(seconds: float, hours: bool, decimals: int = 1) -> str:
    """M:SS.s, or H:MM:SS.s, as the script of the page writes it."""
    whole, rest = divmod(round_ticks(seconds, decimals), 10**decimals)
    minutes, whole = divmod(whole, 60)
    end = f"{whole:02d}.{rest:0{decimals}d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{end}" if hours else f"{minutes}:{end}"


def format_fixed(number: float, decimals: int) -> str:
    """A number with so many decimals, halves up."""
    return f"{round_ticks(number, decimals) / 10**decimals:.{decimals}f}"


def _words(
    timeline: Timeline,
    document: Mapping[str, Any],
    folder: str | os.PathLike[str] | None,
    stills: Mapping[float, bytes],
) -> dict[str, Any]:
    """All of the page's data that is not scores."""
    settings = document["settings"]
    return {
        "name": reveal(PurePath(timeline.source).name) or "video",
        "video": _address(timeline.source, folder),
        "duration": document["input"]["duration"],
        "part": document["coverage"]["part"],
        "task": timeline.task,
        "decoding": {k: settings[k] for k in _DECODING if k in settings},
        "lost": document["coverage"]["unreadable"],
        "stills": [
            [time, base64.b64encode(stills[time]).decode("ascii")] for time in sorted(stills)
        ],
    }


_DECODING = ("smooth", "kernel", "threshold", "min_duration", "switch_cost", "leave", "merge_gap")


def _address(source: str, folder: str | os.PathLike[str] | None) -> str:
    """How the page refers to the film: never by an absolute path."""
    path = relative_path(source, folder)
    return quote(Path(path).as_posix().encode("utf-8", "surrogateescape"), safe="/")


def _inert(text: str) -> str:
    """JSON in which nothing can end a script element, begin a comment or reorder the text."""
    return re.sub(f"[<>&]|{UNSEEN}", lambda m: f"\\u{ord(m[0]):04x}", text)


def _facts(video: VideoInfo, duration: float) -> list[str]:
    """Length, size, codec and rate, as far as the document has them."""
    words = [
        format_time(duration, duration >= HOUR),
        f"{video.width}x{video.height}" if video.width and video.height else "",
        video.codec or "",
        f"{float(video.fps):.6g} fps{', variable' * bool(video.vfr)}" if video.fps else "",
        f"turned {video.rotation}°" if video.rotation else "",
    ]
    return [word for word in words if word]


def _model(model: ModelInfo) -> str:
    name = model.name or "unnamed model"
    return f"{name} ({model.license})" if model.license else name


def _lost(reasons: Sequence[str]) -> str:
    """The reasons for what could not be read, as the end of a sentence."""
    lost = sorted({re.sub(r"\s+", " ", code) for code in reasons})
    return f"; not everything could be read ({', '.join(lost)})" if lost else ""
