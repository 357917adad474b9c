"""Timelines for ELAN: a tier of labels, and below it a tier of scores.

Where several labels may hold at once, each has two such tiers.

Times are the milliseconds of the timeline, not rounded. Background has no annotation.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from xml.etree.ElementTree import Element

from vidattn.output.xml import add_child, document_url, file_url, relative_path, serialize
from vidattn.timeline import Segment, Timeline

LABELS, SCORES = "vidattn", "vidattn score"
"""The tiers."""
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
DATE = "1970-01-01T00:00:00+00:00"
"""The format requires a date; the same timeline gives the same bytes."""
TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".wmv": "video/x-ms-wmv",
}
SYMBOLIC = "Symbolic_Association"


def eaf(timeline: Timeline, folder: str | os.PathLike[str] | None = None) -> str:
    """An ELAN annotation document, format 3.0.

    folder: the folder of the document, to refer to the video from there; None: that of the video.
    """
    segments = [s for s in timeline.segments if s.label_id is not None]
    root = Element("ANNOTATION_DOCUMENT", AUTHOR="vidattn", DATE=DATE, FORMAT="3.0", VERSION="3.0")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:noNamespaceSchemaLocation", SCHEMA)
    _add_header(root, timeline, folder, last=2 * len(segments))
    order = add_child(root, "TIME_ORDER")
    times = [t for s in segments for t in (s.window.start, s.window.stop)]
    for number, time in enumerate(times, start=1):
        slot = {"TIME_SLOT_ID": f"ts{number}", "TIME_VALUE": round(time * 1000)}
        add_child(order, "TIME_SLOT", None, **slot)
    if timeline.several:
        for name in dict.fromkeys(s.label for s in segments):
            _add_tiers(root, segments, name)
    else:
        _add_tiers(root, segments)
    plain = {"GRAPHIC_REFERENCES": "false"}
    label = {"LINGUISTIC_TYPE_ID": "label", "TIME_ALIGNABLE": "true", **plain}
    score = {"LINGUISTIC_TYPE_ID": "score", "TIME_ALIGNABLE": "false", **plain}
    add_child(root, "LINGUISTIC_TYPE", None, **label)
    add_child(root, "LINGUISTIC_TYPE", None, **score, CONSTRAINTS=SYMBOLIC)
    meaning = "1-1 association with a parent annotation"
    add_child(root, "CONSTRAINT", STEREOTYPE=SYMBOLIC, DESCRIPTION=meaning)
    return serialize(root)


def _add_header(
    root: Element, timeline: Timeline, folder: str | os.PathLike[str] | None, last: int
) -> None:
    source = timeline.source
    header = add_child(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    add_child(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=document_url(source, folder),
        MIME_TYPE=TYPES.get(PurePath(source).suffix.lower(), "unknown"),
        RELATIVE_MEDIA_URL=file_url(relative_path(source, folder)),
    )
    # ELAN numbers new annotations from here on.
    add_child(header, "PROPERTY", str(last), NAME="lastUsedAnnotationId")
    if timeline.settings.roi:
        add_child(header, "PROPERTY", timeline.settings.roi, NAME="roi")


def _add_tiers(root: Element, segments: list[Segment], label: str | None = None) -> None:
    """The tiers of all segments, or of those of one label."""
    names = [LABELS, SCORES] if label is None else [f"{LABELS} {label}", f"{SCORES} {label}"]
    labels = add_child(root, "TIER", LINGUISTIC_TYPE_REF="label", TIER_ID=names[0])
    below = {"LINGUISTIC_TYPE_REF": "score", "TIER_ID": names[1], "PARENT_REF": names[0]}
    scores = add_child(root, "TIER", **below)
    for i, segment in enumerate(segments, start=1):
        if label is not None and segment.label != label:
            continue
        span = {"TIME_SLOT_REF1": f"ts{2 * i - 1}", "TIME_SLOT_REF2": f"ts{2 * i}"}
        above = add_child(
            add_child(labels, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            None,
            **{"ANNOTATION_ID": f"a{i}", **span},
        )
        add_child(above, "ANNOTATION_VALUE", segment.label)
        ids = {"ANNOTATION_ID": f"a{len(segments) + i}", "ANNOTATION_REF": f"a{i}"}
        score = add_child(add_child(scores, "ANNOTATION"), "REF_ANNOTATION", None, **ids)
        add_child(score, "ANNOTATION_VALUE", f"{segment.score:.5f}")
