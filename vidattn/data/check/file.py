"""What is wrong with one video file of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import Split
from vidattn.errors import VideoError
from vidattn.io.digest import sha256_file
from vidattn.io.files import is_file
from vidattn.types import Item
from vidattn.video import ProcessPool, Video, open_video

SAMPLED = 5
"""Frames that are decoded of a file, from the first to the last."""
SAMPLED_SPANS = 16
"""Of so many labeled spans of a file the middle is decoded too."""
SIDE = 32
"""Pixels of the short side that frames are decoded to."""
SMALLEST = 64
LONGEST = 4.0
SLACK = 0.1
"""Seconds that a span may end after its file without a word."""

Kind = Literal[
    "half", "missing", "unreadable", "damaged", "beyond", "leak",
    "absent", "overrun", "vfr", "rotated", "size", "single", "folder",
    "duplicate", "conflict", "shared",
]  # fmt: skip


class Problem(NamedTuple):
    """One thing that is wrong with a file or a set."""

    kind: Kind
    message: str
    code: str = ""
    """Of the VideoError, if it is one."""


class Listing(NamedTuple):
    """What a file is in a data set for."""

    half: Split
    item: Item


@dataclass(frozen=True)
class CheckedFile:
    """One file, and what was found."""

    path: str
    uses: tuple[Listing, ...]
    findings: tuple[Problem, ...]
    sha256: str = ""
    """Empty for a file that is not there or cannot be opened."""
    facts: dict[str, Any] = field(default_factory=dict)
    """bytes, codec, container, width, height, fps, frames, duration, rotation, vfr; if known."""

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "uses": [
                {"half": use.half, "label": labels[use.item.label], "part": _part(use.item)}
                for use in self.uses
            ],
            "sha256": self.sha256,
            **self.facts,
            "findings": [finding._asdict() for finding in self.findings],
        }


def _part(item: Item) -> dict[str, float] | None:
    if item.frames is not None:
        return {"first_frame": item.frames[0], "stop_frame": item.frames[1]}
    return {"start": item.window.start, "end": item.window.stop} if item.window else None


def check_file(
    path: str, uses: Sequence[Listing], labels: Sequence[str], *, full: bool, pool: ProcessPool
) -> CheckedFile:
    """Open a file, hash it and decode some of its frames, or all of them with `full`."""
    folder = _other_class(path, uses, labels)
    try:
        with open_video(path, short_side=SIDE, pool=pool) as video:
            found = [*folder, *_spans(video, uses), *_oddities(video)]
            frames = range(video.frames) if full else _sample(video, uses)
            for _ in video.stream(frames):
                pass
            found += _damage(video)
            facts = _facts(video)
    except VideoError as error:
        message = error.message.removeprefix(f"{path}: ")
        lost = Problem("unreadable", message, error.code)
        return CheckedFile(path, tuple(uses), (*folder, lost), _digest(path))
    facts = {"bytes": Path(path).stat().st_size, **facts}
    return CheckedFile(path, tuple(uses), tuple(found), _digest(path), facts)


def _digest(path: str) -> str:
    """Of the content, in hexadecimal; empty when it cannot be read or is no regular file."""
    try:
        return sha256_file(Path(path)) if is_file(path) else ""
    except OSError:
        return ""


def _sample(video: Video, uses: Sequence[Listing]) -> list[int]:
    """Frame numbers, rising: spread over the file, and the middle of labeled spans."""
    chosen = set(np.linspace(0, video.frames - 1, SAMPLED).astype(int).tolist())
    for use in uses[:SAMPLED_SPANS]:
        if use.item.window is not None and use.item.window.center < video.duration:
            after = int(np.searchsorted(video.times, use.item.window.center, side="right"))
            chosen.add(max(after - 1, 0))
    return sorted(chosen)


def _spans(video: Video, uses: Sequence[Listing]) -> list[Problem]:
    """Spans that lie or end after the file."""
    found = []
    for use in uses:
        if use.item.frames is not None:
            problem = _place(*use.item.frames, video.frames, 1.0, "frame")
        elif use.item.window is not None:
            window = use.item.window
            problem = _place(window.start, window.stop, video.duration, SLACK, "second")
        else:
            problem = None
        found += [problem] if problem else []
    return found


def _place(start: float, stop: float, end: float, slack: float, unit: str) -> Problem | None:
    length = f"the file has {end:.6g} {unit}s"
    if start >= end:
        return Problem("beyond", f"a span begins at {unit} {start:g}, {length}")
    if stop > end + slack:
        return Problem("overrun", f"a span ends at {unit} {stop:g}, {length}")
    return None


def _oddities(video: Video) -> list[Problem]:
    facts, found = video.details, []
    if facts.vfr:
        found.append(Problem("vfr", f"variable frame rate, {float(facts.fps):.4g} on average"))
    if facts.rotation or facts.mirrored:
        mirrored = " and mirrored" * facts.mirrored
        found.append(Problem("rotated", f"stored turned by {facts.rotation} degrees{mirrored}"))
    if video.frames == 1:
        found.append(Problem("single", "a single frame"))
    short, long = sorted((facts.width, facts.height))
    size = f"{facts.width}x{facts.height}"
    changes = [text for text in facts.warnings if "sizes" in text]
    if short < SMALLEST or long > LONGEST * short:
        found.append(Problem("size", f"{size} is small or very long"))
    elif facts.width % 2 or facts.height % 2:
        found.append(Problem("size", f"{size} has an odd side"))
    elif changes:
        found.append(Problem("size", changes[0]))
    return found


def _damage(video: Video) -> list[Problem]:
    return [
        Problem("damaged", f"{u.window.start:.2f} to {u.window.stop:.2f} s do not decode", u.code)
        for u in video.unreadable
    ]


def _other_class(path: str, uses: Sequence[Listing], labels: Sequence[str]) -> list[Problem]:
    """Whether the file lies in a folder that is named after another class than its own."""
    folder = normalize_label(Path(path).parent.name)
    own = {normalize_label(labels[use.item.label]) for use in uses}
    if folder in own or all(normalize_label(label) != folder for label in labels):
        return []
    return [Problem("folder", f"lies in a folder {folder!r}, but is labeled {', '.join(own)}")]


def _facts(video: Video) -> dict[str, Any]:
    facts = video.details
    return {
        "codec": facts.codec,
        "container": facts.container,
        "width": facts.width,
        "height": facts.height,
        "fps": round(float(facts.fps), 4),
        "frames": video.frames,
        "duration": round(video.duration, 6),
        "rotation": facts.rotation,
        "vfr": facts.vfr,
    }
