"""Results on disk: whether one is complete, and of the same video, model and settings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidattn.errors import InputError, VideoError
from vidattn.inference.batch.inputs import file_size
from vidattn.io.files import exists, read_file, read_stream, reading, sha256
from vidattn.io.json import dumps, parse_object, to_json_value
from vidattn.timeline.values import INTERRUPTED
from vidattn.video.boxes import digest_boxes

if TYPE_CHECKING:
    from vidattn.models.classifier import Classifier
    from vidattn.timeline import Timeline

JSON_STARTS = (b"{", b" ", b"\n", b"\r", b"\t", b"[", b"\xef")
"""First bytes of readable JSON."""
FOUND = ("classes", "bf16", "int8")
"""What a timeline holds about a model besides a key: the precision checks of its run are some."""


@dataclass(frozen=True)
class RunKey:
    """The task, model and settings that a result depends on."""

    task: Literal["segment", "classify"]
    model: Mapping[str, Any]
    """As in a timeline."""
    labels: tuple[str, ...]
    asked: Mapping[str, Any]
    """Options that scores depend on, as given."""
    decoding: Mapping[str, Any]
    """Post-processing options."""

    @classmethod
    def create(
        cls,
        task: Literal["segment", "classify"],
        classifier: Classifier,
        asked: Mapping[str, Any],
        decoding: Mapping[str, Any],
    ) -> RunKey:
        """The key of a run; options that are None are left out."""
        from vidattn.inference.events import describe_model

        clip = classifier.clip
        boxes = digest_boxes(clip.boxes)
        asked = {**asked, "area": clip.area or None, "mask": clip.mask or None, "boxes": boxes}
        given = {name: to_json_value(value) for name, value in asked.items() if value is not None}
        model = to_json_value(describe_model(classifier).to_dict())
        return cls(task, model, classifier.labels, given, to_json_value(decoding))

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits for model, labels and the options that scores depend on."""
        return sha256(dumps([self.task, self.model, self.labels, self.asked]), 16)

    def sign(self, timeline: Timeline, path: str) -> Timeline:
        """The timeline with the options and the file size that `find_result` compares."""
        return replace(
            timeline,
            input=replace(timeline.input, bytes=file_size(path)),
            settings=replace(timeline.settings, asked=self.asked),
        )


@dataclass(frozen=True)
class Result:
    """A complete result on disk."""

    reasons: tuple[str, ...]
    """Reason codes of spans that could not be read."""
    timeline: Timeline
    altered: bool
    """Whether the file differs from what its scores yield."""

    def damaged(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """The files of the result, by format, that are missing or have another content."""
        from vidattn.output import is_current

        return {
            fmt: path
            for fmt, path in files.items()
            if (self.altered if fmt == "json" else not is_current(self.timeline, path, fmt))
        }


def find_result(saved: Path, path: str, key: RunKey) -> Result | None:
    """The result in a JSON file, if it is complete and has this input and key.

    The input is the same when path and size are, and the video is not newer than the result.
    """
    from vidattn.timeline import Timeline

    document = _load_document(saved)
    try:
        reasons = tuple(map(str, document["coverage"]["reasons"]))
        same = _matches(document, path, key) and not _changed_since(path, saved)
    except (KeyError, TypeError):
        return None
    if not same or INTERRUPTED in reasons:
        return None
    try:
        timeline = Timeline.from_json(read_file(saved, regular=True))
    except (OSError, InputError):
        return None
    rest = {name: value for name, value in document.items() if name != "scores"}
    altered = json.loads(dumps(timeline.to_dict(scores=False))) != rest
    return Result(reasons, timeline, altered)


def _matches(document: Mapping[str, Any], path: str, key: RunKey) -> bool:
    settings, source = document["settings"], document["input"]
    return (
        document["task"] == key.task
        and {k: v for k, v in document["model"].items() if k not in FOUND} == key.model
        and tuple(document["scores"]["labels"]) == key.labels
        and settings["asked"] == key.asked
        and all(settings[name] == value for name, value in key.decoding.items())
        and (source["path"], source["bytes"]) == (path, file_size(path))
    )


def require_own(saved: Path, path: str) -> None:
    """Raise VideoError E_TAKEN when a JSON file is the result of another existing input."""
    source = _load_document(saved).get("input")
    other = source.get("path") if isinstance(source, dict) else None
    if not isinstance(other, str) or other == path:
        return
    try:
        taken = exists(other) and not Path(other).samefile(path)
    except (OSError, ValueError):
        return
    if taken:
        raise VideoError(
            f"{path}: its result would replace that of {other} in {saved}",
            code="E_TAKEN",
            hint="choose another folder with -o",
        )


def load_timeline(path: str | os.PathLike[str]) -> Timeline:
    """The timeline in a JSON file; a video is not read to its end. Raises InputError."""
    from vidattn.timeline import Timeline

    with reading(path, InputError), Path(path).open("rb") as file:
        data = file.read(1)
        data += read_stream(file) if data in JSON_STARTS else b""
    if data[:1] not in JSON_STARTS:
        raise InputError(
            f"{path}: not a timeline in JSON",
            hint="give a .json file that vidattn segment or classify wrote",
        )
    try:
        return Timeline.from_json(data)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from None


def _load_document(saved: Path) -> dict[str, Any]:
    """The object in a JSON file; empty when there is none."""
    try:
        return parse_object(read_file(saved, regular=True)) or {}
    except (OSError, ValueError):  # as of a name that no file can have
        return {}


def _changed_since(path: str, saved: Path) -> bool:
    """Whether a file is newer than its result; a time in the future counts as unknown."""
    changed = Path(path).stat().st_mtime_ns
    return saved.stat().st_mtime_ns < changed <= time.time_ns()
