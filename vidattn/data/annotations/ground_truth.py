"""Ground truth of long videos, in any annotation format: one table of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vidattn.config.labels import SEVERAL, split_labels
from vidattn.data.annotations import (
    activitynet,
    boris,
    elan,
    frame_labels,
    label_studio,
    subtitles,
    table,
)
from vidattn.data.annotations.annotation import AnnotatedVideo, Format, GroundTruth, Spans
from vidattn.errors import DataError
from vidattn.io.files import exists
from vidattn.io.search import suggest_names
from vidattn.io.text import count_noun

__all__ = ["FORMATS", "AnnotatedVideo", "GroundTruth", "find_format", "read_ground_truth"]

FORMATS: tuple[Format, ...] = (
    elan.FORMAT,
    boris.FORMAT,
    label_studio.FORMAT,
    frame_labels.FORMAT,
    activitynet.FORMAT,
    table.FORMAT,
    subtitles.FORMAT,
)
"""The first that matches a file reads it."""


def find_format(path: Path) -> Format | None:
    """The format of a file or folder, by its name and first bytes; None for an unknown one."""
    return next((known for known in FORMATS if known.matches(path)), None)


def read_ground_truth(path: Path, split: str | None = None) -> GroundTruth:
    """Read an annotation in any of FORMATS; no video is opened.

    split: the subset to read. For texts of frames that is a list of names (a file, or one below
    splits/), by default all; otherwise a value of the column or key, by default that for
    validation. A span labeled "a;b" is one of a and one of b, except for texts of subtitles. Raises
    DataError with the reason and the place.
    """
    hint = "it is " + ", ".join(f.description for f in FORMATS)
    if not exists(path):
        close = suggest_names(str(path), lambda one: find_format(one) is not None)
        raise DataError(f"{path}: no such file or folder", hint=close.strip() or hint)
    known = find_format(path)
    if known is None:
        raise DataError(f"{path}: not a ground truth", hint=hint)
    found = known.read(path, split)
    if not found.videos:
        raise DataError(f"{path}: annotates no video", hint=hint)
    if known is subtitles.FORMAT:
        return found
    bare = sum(not split_labels(label) for video in found.videos for _, label in video.spans)
    notes = [f"{path}: {count_noun(bare, 'span')} without a label: left out"] * bool(bare)
    videos = tuple(map(_split_spans, found.videos))
    return GroundTruth(videos, (*found.notes, *notes))


def _split_spans(video: AnnotatedVideo) -> AnnotatedVideo:
    """The video with a span for each label of a span that has several."""
    if not any(SEVERAL in label for _, label in video.spans):
        return video
    areas = {name: _split_each(spans) for name, spans in video.areas.items()}
    return replace(video, spans=_split_each(video.spans), areas=areas)


def _split_each(spans: Spans) -> Spans:
    return tuple((window, label) for window, text in spans for label in split_labels(text))
