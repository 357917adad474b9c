"""Timelines for annotation and evaluation tools: Label Studio, CVAT, ActivityNet, FiftyOne.

Background has no annotation.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from xml.etree.ElementTree import Element

from vidattn.io.json import dumps_pretty
from vidattn.output.timecode import UNKNOWN, frame_count, place_segments
from vidattn.output.xml import add_child, serialize, video_title
from vidattn.timeline import Segment, Timeline

FROM, TO = "videoLabels", "video"
"""Names of the labels and the video in Label Studio's template for video timelines."""


def labelstudio(timeline: Timeline) -> str:
    """A task for Label Studio, with the segments as predictions of a TimelineLabels tag.

    Ranges count frames from 1, inclusive, at the rate in `data.fps`: the labeling setup needs
    <Video name="video" value="$video" frameRate="$fps"/> and
    <TimelineLabels name="videoLabels" toName="video">.
    """
    fps = _rate(timeline)
    spans = place_segments(timeline, fps)
    results = [
        {
            "id": f"vidattn{number}",
            "type": "timelinelabels",
            "from_name": FROM,
            "to_name": TO,
            "value": {
                "ranges": [{"start": span.first + 1, "end": span.after}],
                "timelinelabels": [span.segment.label],
            },
            "score": round(span.segment.score, 5),
        }
        for number, span in enumerate(spans, start=1)
    ]
    scores = [span.segment.score for span in spans]
    prediction = {
        "model_version": timeline.model.name or "vidattn",
        "score": round(sum(scores) / len(scores), 5) if scores else 0.0,
        "result": results,
    }
    rate: float | int = int(fps) if fps.denominator == 1 else float(fps)
    task = {
        "data": {"video": timeline.source, "fps": rate, "duration": timeline.rounded_duration},
        "predictions": [prediction],
    }
    return dumps_pretty([task], 2) + "\n"


def cvat(timeline: Timeline) -> str:
    """CVAT's XML 1.1 with a tag on each frame of a segment, for a task of this video.

    CVAT numbers frames as decoded, from 0, also at variable rates.
    """
    spans = _frame_spans(timeline)
    root = Element("annotations")
    add_child(root, "version", "1.1")
    task = add_child(add_child(root, "meta"), "task")
    add_child(task, "name", video_title(timeline.source))
    add_child(task, "size", str(_count(timeline)))
    add_child(task, "mode", "annotation")
    labels = add_child(task, "labels")
    for name in dict.fromkeys(segment.label for segment, _, _ in spans):
        label = add_child(labels, "label")
        add_child(label, "name", name)
        add_child(label, "type", "tag")
    size: dict[str, Any] = {"width": timeline.input.width, "height": timeline.input.height}
    for segment, first, after in spans:
        for frame in range(first, after):
            image = add_child(root, "image", id=frame, name=f"frame_{frame:06d}", **size)
            add_child(image, "tag", label=segment.label, source="auto")
    return serialize(root)


def activitynet(timeline: Timeline) -> str:
    """Results in the format of the ActivityNet detection challenge, by the name of the video."""
    rows = [
        {
            "label": segment.label,
            "score": round(segment.score, 5),
            "segment": [segment.window.start, segment.window.stop],
        }
        for segment in _named(timeline)
    ]
    used = {"used": False, "details": ""}
    results = {video_title(timeline.source).removeprefix("v_"): rows}
    whole = {"version": "VERSION 1.3", "results": results, "external_data": used}
    return dumps_pretty(whole, 2) + "\n"


def fiftyone(timeline: Timeline) -> str:
    """The labels.json of a FiftyOneTemporalDetectionDataset, a sibling of its data/ folder.

    Supports are frame numbers from 1, inclusive, if the timeline has frames; otherwise timestamps
    in seconds.
    """
    known = all(s.start_frame is not None for s in timeline.segments)
    rows: list[dict[str, Any]] = []
    for segment, first, after in _frame_spans(timeline) if known else []:
        rows.append({**_detection(segment), "support": [first + 1, after]})
    for segment in [] if known else _named(timeline):
        span = [segment.window.start, segment.window.stop]
        rows.append({**_detection(segment), "timestamps": span})
    return dumps_pretty({"labels": {video_title(timeline.source): rows}}, 2) + "\n"


def _detection(segment: Segment) -> dict[str, Any]:
    return {"label": segment.label, "confidence": round(segment.score, 5)}


def _named(timeline: Timeline) -> list[Segment]:
    return [segment for segment in timeline.segments if segment.label_id is not None]


def _frame_spans(timeline: Timeline) -> list[tuple[Segment, int, int]]:
    """Segments with at least one frame, and their decoded frames [first, after)."""
    named = _named(timeline)
    if all(s.start_frame is not None and s.end_frame is not None for s in named):
        spans = [(s, s.start_frame or 0, s.end_frame or 0) for s in named]
    else:
        fps = _rate(timeline)
        spans = [(span.segment, span.first, span.after) for span in place_segments(timeline, fps)]
    return [span for span in spans if span[1] < span[2]]


def _count(timeline: Timeline) -> int:
    count = timeline.input.frames
    return frame_count(timeline, _rate(timeline)) if count is None else count


def _rate(timeline: Timeline) -> Fraction:
    return timeline.input.fps or UNKNOWN
