"""A timeline as one HTML page that needs no network, no server and no other file.

The page derives its segments again when its sliders move, from scores in it (`scores`). Names of
files and labels are untrusted: the template escapes them, the data is in a block that is never run,
and the content security policy allows no script but that of the page.
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

from vidattn.io.files import sha256
from vidattn.io.json import dumps
from vidattn.output.report.assets import (
    escape_data,
    load_template,
    read_asset,
    reveal,
    security_policy,
)
from vidattn.output.report.explanation import describe_explanation
from vidattn.output.report.scores import pack_scores
from vidattn.output.text import (
    decimals_for,
    describe_coverage,
    format_time,
    model_title,
    round_ticks,
)
from vidattn.output.xml import relative_path
from vidattn.timeline import Timeline
from vidattn.timeline.explanation import Explanation

HOUR = 3600.0
LONGEST_TABLE = 400
"""Rows in the page before its script runs, and without it."""
SCRIPTS = (
    *("theme.js", "dom.js", "segments.js", "plot.js", "list.js", "save.js", "budget.js"),
    *("edits.js", "editor.js", "controls.js", "report.js"),
)
SLIDERS = ("smooth", "kernel", "threshold", "min_duration", "switch_cost", "leave", "merge_gap")


def html(
    timeline: Timeline,
    *,
    folder: str | os.PathLike[str] | None = None,
    stills: Mapping[float, bytes] | None = None,
    explained: Sequence[Explanation] = (),
) -> str:
    """The page of a timeline.

    folder: the folder of the page, to refer to the video from there; None: that of the video.
    stills: JPEG thumbnails by their second of the video. explained: explanations of some windows,
    shown in a section of their own. The page counts from the start of the file, as its player does.
    """
    from markupsafe import Markup

    offset, timeline = timeline.input.start_offset or 0.0, timeline.from_file_start()
    stills = {round(time + offset, 3): image for time, image in (stills or {}).items()}
    document = timeline.to_dict()
    script, style = "".join(map(read_asset, SCRIPTS)), read_asset("base.css", "report.css")
    packed = pack_scores(timeline)
    data = {**packed, **_page_data(timeline, document, folder, stills)}
    data["digest"] = _digest(packed, timeline.source)
    coverage = describe_coverage(timeline) + _describe_failures(document["coverage"]["reasons"])
    return load_template("report.html.j2").render(
        data=Markup(escape_data(dumps(data))),
        script=Markup(script),
        style=Markup(style),
        policy=security_policy(script, style),
        name=data["name"],
        facts=[reveal(fact) for fact in _video_facts(timeline)],
        model=reveal(model_title(timeline.model)),
        coverage=reveal(coverage),
        warnings=[reveal(warning) for warning in timeline.warnings],
        task=timeline.task,
        video=data["video"],
        segments=timeline.segments[:LONGEST_TABLE],
        count=len(timeline.segments),
        explanations=[describe_explanation(explanation, offset) for explanation in explained],
        clock=partial(format_time, hours=data["duration"] >= HOUR),
        digits=decimals_for,
        fixed=lambda number, digits: f"{round_ticks(number, digits) / 10**digits:.{digits}f}",
        shown=reveal,
    )


def strip_images(page: bytes) -> bytes:
    """A page without its thumbnails and explanations."""
    page = re.sub(rb'"stills": \[\[[^<]*?"\]\]', b'"stills": []', page, count=1)
    for part in (rb'<span><a href="#explanations">.*?</span>', rb'\n<details id="exp.*?</details>'):
        page = re.sub(part, b"", page, count=1, flags=re.DOTALL)
    return page


def _page_data(
    timeline: Timeline,
    document: Mapping[str, Any],
    folder: str | os.PathLike[str] | None,
    stills: Mapping[float, bytes],
) -> dict[str, Any]:
    """The data of the page other than scores; it never holds an absolute path."""
    settings, coverage = document["settings"], document["coverage"]
    video = Path(relative_path(timeline.source, folder)).as_posix()
    return {
        "name": reveal(PurePath(timeline.source).name) or "video",
        "video": quote(video.encode("utf-8", "surrogateescape"), safe="/"),
        "roi": settings.get("roi", ""),
        "duration": document["input"]["duration"],
        "part": coverage["part"],
        "task": timeline.task,
        "overlapping": timeline.several,
        "fps": float(timeline.input.fps) if timeline.input.fps else None,
        "decoding": {k: settings[k] for k in SLIDERS if k in settings},
        "lost": coverage["unreadable"],
        "stills": [
            [time, base64.b64encode(image).decode("ascii")]
            for time, image in sorted(stills.items())
        ],
    }


def _digest(packed: Mapping[str, Any], source: str) -> str:
    """Stands for the scores of a video, under which a browser keeps corrections of its labels."""
    return sha256(PurePath(source).name + dumps(packed), 32)


def _video_facts(timeline: Timeline) -> list[str]:
    """Length, size, codec and rate, as far as they are known."""
    video, duration = timeline.input, timeline.duration or 0.0
    facts = [
        format_time(round(duration, 3), duration >= HOUR),
        f"{video.width}x{video.height}" if video.width and video.height else "",
        video.codec or "",
        f"{float(video.fps):.6g} fps{', variable' * bool(video.vfr)}" if video.fps else "",
        f"turned {video.rotation}°" if video.rotation else "",
        f"from {start.replace('T', ' ')}" if (start := timeline.settings.start_time) else "",
    ]
    return [fact for fact in facts if fact]


def _describe_failures(reasons: Sequence[str]) -> str:
    """The reason codes of unreadable spans, as the end of a sentence."""
    codes = sorted({re.sub(r"\s+", " ", code) for code in reasons})
    return f"; not everything could be read ({', '.join(codes)})" if codes else ""
