"""JSON exports of Label Studio, in full or in short (JSON-MIN)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidattn.data.annotations import annotation
from vidattn.errors import DataError
from vidattn.io.files import is_folder, read_file, reading
from vidattn.io.search import VIDEO_SUFFIXES

RATE_KEYS = ("fps", "frameRate", "framerate", "frame_rate")
"""Keys of a task's data that may hold the frame rate."""
HINT = "expected a task list exported from Label Studio as JSON"


def _matches(path: Path) -> bool:
    if is_folder(path) or path.suffix.lower() != ".json":
        return False
    try:
        with path.open("rb") as file:
            head = file.read(200)
    except OSError:
        return False
    # Label Studio exports a list of tasks; other layouts are objects.
    return re.match(rb"\s*\[\s*\{", head.removeprefix(b"\xef\xbb\xbf")) is not None


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    try:
        with reading(path, DataError):
            tasks = json.loads(read_file(path))
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is not JSON", hint=HINT) from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError(f"{path}: is no list of tasks", hint=HINT)
    videos = []
    for number, task in enumerate(tasks, start=1):
        try:
            rows = _find_results(task)
            if rows is not None:
                videos.append(_read_task(task.get("data", task), rows))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            no_rate = isinstance(error, KeyError) and error.args[0] == "fps"
            hint = "ranges count frames: add fps to the data of each task, as -f labelstudio does"
            message = f"{path}: task {number}: {error}"
            raise DataError(message, hint=hint if no_rate else HINT) from None
    if not videos:
        raise DataError(
            f"{path}: nobody has annotated any of its {len(tasks)} tasks",
            hint="predictions do not count: submit them in Label Studio and export again",
        )
    annotation.choose_subset(path, [], split)
    count = len(tasks) - len(videos)
    note = f"{path}: {count} tasks nobody has annotated: left out"
    return annotation.GroundTruth(tuple(videos), (note,) * bool(count))


FORMAT = annotation.Format("a JSON export of Label Studio", _matches, _read, True)


def _find_results(task: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The values of a task's last annotation; None when there is none."""
    if "annotations" in task:
        done = [a for a in task["annotations"] if not a.get("was_cancelled")]
        return [r["value"] for r in done[-1]["result"] if "value" in r] if done else None
    if "predictions" in task:
        return None
    # JSON-MIN has results under the names of their tags.
    lists = [v for v in task.values() if isinstance(v, list)]
    return [r for v in lists for r in v if isinstance(r, dict) and "ranges" in r] or None


def _read_task(
    data: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> annotation.AnnotatedVideo:
    texts = [value for value in data.values() if isinstance(value, str)]
    named = (
        text
        for text in texts
        if annotation.path_from_url(text).lower().endswith(tuple(VIDEO_SUFFIXES))
    )
    video = data.get("video") or next(named, None)
    if not isinstance(video, str):
        raise ValueError("its data names no video")
    fps = next((float(data[key]) for key in RATE_KEYS if data.get(key)), None)
    spans: annotation.Spans = ()
    for row in rows:
        if "ranges" not in row:
            continue
        if fps is None or not 0 < fps < math.inf:
            raise KeyError("fps")
        for label in row.get("timelinelabels") or row.get("labels") or ():
            for part in row["ranges"]:
                start, stop = (int(part["start"]) - 1) / fps, int(part["end"]) / fps
                spans += annotation.make_span(start, stop, str(label))
    duration = float(data["duration"]) if data.get("duration") else None
    if duration is not None and not 0 < duration < math.inf:
        raise ValueError(f"its duration is {duration:g} s")
    return annotation.AnnotatedVideo(
        annotation.path_from_url(video),
        spans=annotation.sort_spans(spans),
        duration=duration,
        split=str(data.get("split") or data.get("subset") or ""),
    )
