"""Results that are there already: whether one is what was asked for, told by its own fields."""

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
from vidattn.io.digest import sha256
from vidattn.io.json import dumps, to_json_value

if TYPE_CHECKING:
    from vidattn.models.classifier import Classifier
    from vidattn.timeline import Timeline

UNFINISHED = "E_INTERRUPTED"


@dataclass(frozen=True)
class Request:
    """What a command was asked for, and of which model."""

    task: Literal["segment", "classify"]
    model: Mapping[str, Any]
    """As in a timeline."""
    labels: tuple[str, ...]
    asked: Mapping[str, Any]
    """Options that scores depend on, as given."""
    decoding: Mapping[str, Any]
    """How scores become segments."""

    @classmethod
    def of(
        cls,
        task: Literal["segment", "classify"],
        classifier: Classifier,
        asked: Mapping[str, Any],
        decoding: Mapping[str, Any],
    ) -> Request:
        """Of a command; what was not given (None) is left out."""
        from vidattn.inference.events import describe_model

        given = {name: to_json_value(value) for name, value in asked.items() if value is not None}
        model = to_json_value(describe_model(classifier).to_dict())
        return cls(task, model, classifier.labels, given, to_json_value(decoding))

    @cached_property
    def digest(self) -> str:
        """16 digits that stand for model, labels and options that scores depend on."""
        return sha256(dumps([self.task, self.model, self.labels, self.asked]), 16)

    def signed(self, timeline: Timeline, path: str) -> Timeline:
        """The timeline with what `found` needs to know it again: the request, the file's size."""
        return replace(
            timeline,
            input=replace(timeline.input, bytes=bytes_of(path)),
            settings=replace(timeline.settings, asked=self.asked),
        )


@dataclass(frozen=True)
class Result:
    """A result on disk that is complete."""

    partial: bool
    """Whether spans of the file could not be read."""
    reasons: tuple[str, ...]
    timeline: Timeline
    altered: bool
    """Whether the file says something else than what follows from its scores."""

    def damaged(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Of the files of the result, by format, those that are gone or hold something else."""
        from vidattn import output

        return {
            fmt: path
            for fmt, path in files.items()
            if (self.altered if fmt == "json" else not output.is_current(self.timeline, path, fmt))
        }


def found(saved: Path, path: str, request: Request) -> Result | None:
    """The result in a JSON file, if it is a complete one of this input and request.

    The input is the same when path and size are, and the file was not changed since.
    """
    from vidattn.timeline import Timeline

    document = _document(saved)
    try:
        there = document["task"], document["model"], document["settings"], document["input"]
        task, model, settings, source = there
        reasons = tuple(map(str, document["coverage"]["reasons"]))
        same = (
            task == request.task
            and {**model, "classes": None} == {**request.model, "classes": None}
            and tuple(document["scores"]["labels"]) == request.labels
            and settings["asked"] == request.asked
            and all(settings[name] == value for name, value in request.decoding.items())
            and (source["path"], source["bytes"]) == (path, bytes_of(path))
            and not _changed_since(path, saved)
        )
    except (KeyError, TypeError):
        return None
    if not same or UNFINISHED in reasons:
        return None
    try:
        timeline = Timeline.from_json(saved.read_bytes())
    except (OSError, InputError):
        return None
    rest = {name: value for name, value in document.items() if name != "scores"}
    altered = json.loads(dumps(timeline.to_dict(scores=False))) != rest
    return Result(bool(reasons), reasons, timeline, altered)


def require_own(saved: Path, path: str) -> None:
    """Raise VideoError E_TAKEN when a JSON file is the result of another input that is there."""
    document = _document(saved)
    source = document.get("input")
    other = source.get("path") if isinstance(source, dict) else None
    if not isinstance(other, str) or other == path:
        return
    try:
        taken = Path(other).exists() and not Path(other).samefile(path)
    except (OSError, ValueError):
        return
    if taken:
        raise VideoError(
            f"{path}: its result would replace that of {other} in {saved}",
            code="E_TAKEN",
            hint="choose another folder with -o",
        )


def bytes_of(path: str) -> int:
    """The size of a file, -1 when nobody can say."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - any path, also one that is no text
    except (OSError, ValueError):
        return -1


def _document(saved: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing when it is not there or holds something else."""
    try:
        document = json.loads(saved.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _changed_since(path: str, saved: Path) -> bool:
    """Whether a file is newer than its result; a time to come says nothing."""
    changed = Path(path).stat().st_mtime_ns
    return saved.stat().st_mtime_ns < changed <= time.time_ns()
