"""Check of one video file of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import Split
from vidattn.errors import VideoError
from vidattn.io.files import is_file, sha256_file
from vidattn.types import Item
from vidattn.video import ProcessPool, Video, open_video
from vidattn.video.protocol import Frames

SAMPLED = 5
"""Frames to decode, from the first to the last."""
SAMPLED_SPANS = 16
"""Labeled spans whose middle frame is decoded too."""
SHORT_SIDE = 32
"""Pixels of decoded frames."""
MIN_SIDE = 64
MAX_ASPECT = 4.0
SLACK = 0.1
"""Seconds that a span may end after its file."""
LOOK_SIDE = 8
"""Gray fields of a row and a column of a frame."""

Look = NDArray[np.float32]

Kind = Literal[
    "split", "missing", "unreadable", "damaged", "beyond", "leak", "onesided",
    "absent", "overrun", "vfr", "rotated", "size", "single", "folder",
    "duplicate", "conflict", "shared", "alike",
]  # fmt: skip


class Finding(NamedTuple):
    """One problem of a file or a dataset."""

    kind: Kind
    message: str
    code: str = ""
    """Of a VideoError."""


class FileUse(NamedTuple):
    """One listing of a file in a dataset."""

    split: Split
    item: Item


@dataclass(frozen=True)
class CheckedFile:
    """One file and its findings."""

    path: str
    uses: tuple[FileUse, ...]
    findings: tuple[Finding, ...]
    sha256: str = ""
    """Empty for a file that is not there or cannot be opened."""
    facts: dict[str, Any] = field(default_factory=dict)
    """bytes, codec, container, width, height, fps, frames, duration, rotation, vfr; if known."""
    look: Look | None = field(default=None, compare=False, repr=False)
    """What SAMPLED frames show, as of `shrink_frame`, one after the other."""

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "uses": [
                {
                    "split": use.split,
                    "label": ";".join(labels[k] for k in use.item.main_labels),
                    "part": _part(use.item),
                }
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
    path: str, uses: Sequence[FileUse], labels: Sequence[str], *, full: bool, pool: ProcessPool
) -> CheckedFile:
    """Open and hash a file, and decode a few of its frames, or all of them with `full`."""
    folder = _check_folder(path, uses, labels)
    try:
        with open_video(path, short_side=SHORT_SIDE, pool=pool) as video:
            found = [*folder, *_check_spans(video, uses), *_find_oddities(video)]
            frames = range(video.frames) if full else _sample_frames(video, uses)
            seen = {n: shrink_frame(f) for n, f in video.stream(frames) if n in _spread(video)}
            look = np.concatenate([*seen.values()]) if seen else None
            found += _find_damage(video)
            facts = _describe(video)
    except VideoError as error:
        message = error.message.removeprefix(f"{path}: ")
        lost = Finding("unreadable", message, error.code)
        return CheckedFile(path, tuple(uses), (*folder, lost), _digest(path))
    facts = {"bytes": Path(path).stat().st_size, **facts}
    return CheckedFile(path, tuple(uses), tuple(found), _digest(path), facts, look)


def shrink_frame(frame: Frames) -> Look:
    """What a frame [H, W, 3] shows, roughly: gray levels [LOOK_SIDE x LOOK_SIDE]."""
    gray = frame.mean(2, dtype=np.float32)
    fields: Look = cv2.resize(gray, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA).ravel()
    return fields


def _digest(path: str) -> str:
    """The sha256 of the content; empty when it cannot be read or is no regular file."""
    try:
        return sha256_file(Path(path)) if is_file(path) else ""
    except OSError:
        return ""


def _sample_frames(video: Video, uses: Sequence[FileUse]) -> list[int]:
    """Frame numbers, rising: spread over the file, and the middle of labeled spans."""
    chosen = _spread(video)
    for use in uses[:SAMPLED_SPANS]:
        if use.item.window is not None and use.item.window.center < video.duration:
            after = int(np.searchsorted(video.times, use.item.window.center, side="right"))
            chosen.add(max(after - 1, 0))
    return sorted(chosen)


def _spread(video: Video) -> set[int]:
    """SAMPLED frame numbers from the first to the last; fewer of a file of fewer."""
    return set(np.linspace(0, video.frames - 1, SAMPLED).astype(int).tolist())


def _check_spans(video: Video, uses: Sequence[FileUse]) -> list[Finding]:
    """Spans that lie or end after the file."""
    found = []
    for use in uses:
        if use.item.frames is not None:
            problem = _check_span(*use.item.frames, video.frames, 1.0, "frame")
        elif use.item.window is not None:
            window = use.item.window
            problem = _check_span(window.start, window.stop, video.duration, SLACK, "second")
        else:
            problem = None
        found += [problem] if problem else []
    return found


def _check_span(start: float, stop: float, end: float, slack: float, unit: str) -> Finding | None:
    length = f"the file has {end:.6g} {unit}s"
    if start >= end:
        return Finding("beyond", f"a span begins at {unit} {start:g}, {length}")
    if stop > end + slack:
        return Finding("overrun", f"a span ends at {unit} {stop:g}, {length}")
    return None


def _find_oddities(video: Video) -> list[Finding]:
    facts, found = video.details, []
    if facts.vfr:
        found.append(Finding("vfr", f"variable frame rate, {float(facts.fps):.4g} on average"))
    if facts.rotation or facts.mirrored:
        mirrored = " and mirrored" * facts.mirrored
        found.append(Finding("rotated", f"stored turned by {facts.rotation} degrees{mirrored}"))
    if video.frames == 1:
        found.append(Finding("single", "a single frame"))
    short, long = sorted((facts.width, facts.height))
    size = f"{facts.width}x{facts.height}"
    changes = [text for text in facts.warnings if "sizes" in text]
    if short < MIN_SIDE or long > MAX_ASPECT * short:
        found.append(Finding("size", f"{size} is small or very long"))
    elif facts.width % 2 or facts.height % 2:
        found.append(Finding("size", f"{size} has an odd side"))
    elif changes:
        found.append(Finding("size", changes[0]))
    return found


def _find_damage(video: Video) -> list[Finding]:
    return [
        Finding("damaged", f"{u.window.start:.2f} to {u.window.stop:.2f} s do not decode", u.code)
        for u in video.unreadable
    ]


def _check_folder(path: str, uses: Sequence[FileUse], labels: Sequence[str]) -> list[Finding]:
    """Whether the file lies in a folder that is named after another class than its own."""
    folder = normalize_label(Path(path).parent.name)
    own = {normalize_label(labels[k]) for use in uses for k in use.item.main_labels}
    if folder in own or all(normalize_label(label) != folder for label in labels):
        return []
    return [Finding("folder", f"lies in a folder {folder!r}, but is labeled {', '.join(own)}")]


def _describe(video: Video) -> dict[str, Any]:
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
