"""One JSON file for all videos, as of ActivityNet, THUMOS and HACS.

{"database": {id: {subset, duration, annotations: [{segment, label}]}}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidattn.data.annotations import annotation
from vidattn.data.labeled_dataset import name_first
from vidattn.errors import DataError
from vidattn.types import Window


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    try:
        plain = json.loads(annotation.read_text(path))
        videos = {str(k): dict(v) for k, v in plain["database"].items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise DataError(
            f'{path}: is no JSON with a "database" of videos',
            hint=f"expected {FORMAT.description}, or a JSON export of Label Studio",
        ) from None
    subsets = [str(v["subset"]) if "subset" in v else "" for v in videos.values()]
    chosen, notes = annotation.choose_subset(path, subsets, split)
    empty: list[str] = []
    found = tuple(
        _read_video(path, name, video, empty)
        for (name, video), subset in zip(videos.items(), subsets, strict=True)
        if chosen is None or subset.casefold() == chosen
    )
    if empty:
        notes.append(f"{path}: {len(empty)} annotations have no length: {name_first(empty)}")
    return annotation.GroundTruth(found, tuple(notes))


FORMAT = annotation.Format(
    "a .json file with a database of annotations",
    lambda path: path.suffix.lower() == ".json",
    _read,
)


def _read_video(
    path: Path, name: str, video: Mapping[str, Any], empty: list[str]
) -> annotation.AnnotatedVideo:
    """One video; its name is added to `empty` for each annotation without length."""
    spans = []
    try:
        for row in video.get("annotations", ()):
            start, stop = (float(t) for t in row["segment"])
            if not (math.isfinite(start) and math.isfinite(stop)):
                raise ValueError
            if start < stop:
                spans.append((Window(start, stop), str(row["label"])))
            else:
                empty.append(name)
        duration = float(video["duration"]) if video.get("duration") else None
        if duration is not None and not 0 < duration < math.inf:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise DataError(f"{path}: {name}: an annotation is not {{segment, label}}") from None
    return annotation.AnnotatedVideo(name, spans=annotation.sort_spans(spans), duration=duration)
