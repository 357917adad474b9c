"""Timelines for ELAN: a tier of labels, and below it a tier of scores.

Times are the milliseconds of the timeline, so nothing is rounded. Background is left out, as
annotators do.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from xml.etree.ElementTree import Element

from vidattn.output.xml import add_child, file_url, relative_path, serialize
from vidattn.timeline import Segment, Timeline

LABELS, SCORES = "vidattn", "vidattn score"
"""The tiers."""
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
MADE = "1970-01-01T00:00:00+00:00"
"""The format wants a date; the same timeline gives the same bytes."""
TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".wmv": "video/x-ms-wmv",
}


def eaf(timeline: Timeline, folder: str | os.PathLike[str] | None = None) -> str:
    """An ELAN annotation document, format 3.0.

    folder: where the document will lie, to find the film from there; None: beside the film.
    """
    segments = [s for s in timeline.segments if s.label_id is not None]
    root = Element("ANNOTATION_DOCUMENT", AUTHOR="vidattn", DATE=MADE, FORMAT="3.0", VERSION="3.0")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:noNamespaceSchemaLocation", SCHEMA)
    _header(root, timeline.source, folder, last=2 * len(segments))
    order = add_child(root, "TIME_ORDER")
    times = [t for s in segments for t in (s.window.start, s.window.stop)]
    for number, time in enumerate(times, start=1):
        add_child(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=round(time * 1000))
    _tiers(root, segments)
    add_child(
        root,
        "LINGUISTIC_TYPE",
        LINGUISTIC_TYPE_ID="label",
        TIME_ALIGNABLE="true",
        GRAPHIC_REFERENCES="false",
    )
    add_child(
        root,
        "LINGUISTIC_TYPE",
        LINGUISTIC_TYPE_ID="score",
        TIME_ALIGNABLE="false",
        GRAPHIC_REFERENCES="false",
        CONSTRAINTS="Symbolic_Association",
    )
    add_child(
        root,
        "CONSTRAINT",
        STEREOTYPE="Symbolic_Association",
        DESCRIPTION="1-1 association with a parent annotation",
    )
    return serialize(root)


def _header(root: Element, source: str, folder: str | os.PathLike[str] | None, last: int) -> None:
    header = add_child(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    add_child(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=file_url(source),
        MIME_TYPE=TYPES.get(PurePath(source).suffix.lower(), "unknown"),
        RELATIVE_MEDIA_URL=file_url(relative_path(source, folder)),
    )
    # ELAN numbers what is added from here on.
    add_child(header, "PROPERTY", str(last), NAME="lastUsedAnnotationId")


def _tiers(root: Element, segments: list[Segment]) -> None:
    labels = add_child(root, "TIER", LINGUISTIC_TYPE_REF="label", TIER_ID=LABELS)
    scores = add_child(root, "TIER", LINGUISTIC_TYPE_REF="score", TIER_ID=SCORES, PARENT_REF=LABELS)
    for i, segment in enumerate(segments):
        span = add_child(
            add_child(labels, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{i + 1}",
            TIME_SLOT_REF1=f"ts{2 * i + 1}",
            TIME_SLOT_REF2=f"ts{2 * i + 2}",
        )
        add_child(span, "ANNOTATION_VALUE", segment.label)
        below = add_child(
            add_child(scores, "ANNOTATION"),
            "REF_ANNOTATION",
            ANNOTATION_ID=f"a{len(segments) + i + 1}",
            ANNOTATION_REF=f"a{i + 1}",
        )
        add_child(below, "ANNOTATION_VALUE", f"{segment.score:.5f}")
