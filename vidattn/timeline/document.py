"""The JSON document of a timeline, `vidattn/timeline/1`.

Scores are saved beside the segments: times in whole milliseconds, probabilities with 5 digits, and
of more than 64 classes the 16 highest of each window (`vidattn.timeline.quantize`). The same input
and settings give the same bytes; values that differ between runs are in `run`, which files omit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, TypeVar

from vidattn.errors import InputError, UsageError
from vidattn.io.json import refuse_constant, to_json_value
from vidattn.timeline.decoding import Decoding
from vidattn.timeline.labeled import LabeledTimeline
from vidattn.timeline.quantize import pack_scores, unpack_scores
from vidattn.timeline.segments import Segment
from vidattn.timeline.wall_clock import wall_time
from vidattn.types import BlankVerdict, ModelInfo, Settings, VideoInfo, Window

SCHEMA = "vidattn/timeline/1"
LEARNED = "learned_switch_cost"
"""The key of the cost of a switch in nats, where auto learned it."""
_WRONG = (ArithmeticError, AttributeError, IndexError, RecursionError, TypeError, ValueError)
"""Errors that values of a wrong kind or size lead to."""
T = TypeVar("T", bound=LabeledTimeline)


def build_document(timeline: LabeledTimeline, *, run: bool, scores: bool) -> dict[str, Any]:
    """The document as plain values; run, scores: whether it has these."""
    decoding = {} if timeline.task == "classify" else asdict(timeline.decoding)
    source = {"path": timeline.source, "duration": timeline.rounded_duration}
    model = to_json_value(timeline.model.to_dict())
    return {
        "schema": SCHEMA,
        "task": timeline.task,
        "input": source | to_json_value(timeline.input.to_dict()),
        "model": model | {"classes": len(timeline.labels)},
        "settings": to_json_value(timeline.settings.to_dict()) | decoding | _learned(timeline),
        "coverage": _coverage(timeline),
        "segments": [_segment(timeline, s) for s in timeline.segments],
        "labels": timeline.totals(),
        **({} if timeline.blank is None else {"blank": _blank(timeline.blank)}),
        **({} if timeline.cuts is None else {"cuts": list(timeline.cuts)}),
        "warnings": list(timeline.warnings),
        **({"scores": _scores(timeline)} if scores else {}),
        **({"run": to_json_value(timeline.run)} if run else {}),
    }


def _blank(verdict: BlankVerdict) -> dict[str, Any]:
    return {"is_blank": verdict.is_blank, "risk": verdict.risk, "loss": verdict.loss}


def _learned(timeline: LabeledTimeline) -> dict[str, Any]:
    """What the path of labels learned from the scores; it is learned again, not read."""
    if timeline.path is None or timeline.decoding.switch_cost is not None:
        return {}
    return {LEARNED: round(timeline.path.switch_cost, 3)}


def _coverage(timeline: LabeledTimeline) -> dict[str, Any]:
    spans = timeline.round_spans(w for w, _ in timeline.unreadable)
    seen = None if timeline.seen is None else timeline.round_spans(timeline.seen)
    pauses = timeline.round_spans(timeline.pauses)
    return {
        "windows": len(timeline.windows),
        **({} if timeline.reused is None else {"reused": timeline.reused}),
        "fraction": round(timeline.coverage, 5),
        "part": to_json_value(timeline.part),
        "unreadable": to_json_value(spans),
        "reasons": [code for _, code in timeline.unreadable],
        **({} if seen is None else {"seen": to_json_value(seen)}),
        **({"pauses": to_json_value(pauses)} if pauses else {}),
    }


def _segment(timeline: LabeledTimeline, segment: Segment) -> dict[str, Any]:
    start, end = (wall_time(timeline, t) for t in (segment.window.start, segment.window.stop))
    return {
        "start": segment.window.start,
        "end": segment.window.stop,
        **({} if start is None else {"wall_start": start, "wall_end": end}),
        "start_frame": segment.start_frame,
        "end_frame": segment.end_frame,
        "label": segment.label,
        "label_id": segment.label_id,
        "score": round(segment.score, 5),
        **_confidence(segment),
        "alternatives": [{"label": k, "score": round(s, 5)} for k, s in segment.alternatives],
    }


def _confidence(segment: Segment) -> dict[str, Any]:
    """The confidence of a segment and its windows, where all windows decided."""
    if segment.windows is None:
        return {}
    value = segment.confidence
    return {"confidence": None if value is None else round(value, 5), "windows": segment.windows}


def _scores(timeline: LabeledTimeline) -> dict[str, Any]:
    frames = timeline.cell_frames
    return {
        "labels": list(timeline.labels),
        "windows": to_json_value(timeline.round_spans(timeline.windows)),
        **({} if frames is None else {"frames": to_json_value(frames)}),
        **pack_scores(timeline.scores),
    }


def parse_document(text: str | bytes, kind: type[T]) -> T:
    """A timeline, of this class, from its document.

    Raises InputError, naming the fault, for anything else.
    """
    try:
        return _parse(json.loads(text, parse_constant=refuse_constant), kind)
    except UnicodeDecodeError:
        reason = "it is not text"
    except (*_WRONG, UsageError) as e:
        reason = str(e)
    except KeyError as e:
        reason = f"{e.args[0]!r} is missing"
    raise InputError(
        f"not a {SCHEMA} document: {reason}",
        hint="give a .json file written by vidattn segment or classify",
    )


def _parse(document: Any, kind: type[T]) -> T:
    """The timeline of a document; raises an error of `_WRONG` for a wrong value."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f'its "schema" is not {SCHEMA}')
    source, settings = dict(document["input"]), dict(document["settings"])
    coverage, saved = document["coverage"], document["scores"]
    settings.pop(LEARNED, None)
    known = [f.name for f in fields(Decoding) if f.name in settings]
    given = {name: settings.pop(name) for name in known}
    decoding = Decoding(**{"smooth": "none", **given})
    labels = tuple(map(str, saved["labels"]))
    unreadable = zip(coverage["unreadable"], coverage["reasons"], strict=True)
    return kind(
        source=str(source.pop("path")),
        labels=labels,
        windows=_windows(saved["windows"]),
        scores=unpack_scores(saved, len(labels)),
        task=document["task"],
        duration=float(source.pop("duration")),
        input=VideoInfo.from_dict(source),
        model=ModelInfo.from_dict(dict(document["model"])),
        settings=Settings.from_dict(settings),
        decoding=decoding,
        warnings=tuple(map(str, document["warnings"])),
        unreadable=tuple((Window(*map(float, pair)), code) for pair, code in unreadable),
        seen=_windows(coverage["seen"]) if "seen" in coverage else None,
        pauses=_windows(coverage.get("pauses", ())),
        reused=int(coverage["reused"]) if "reused" in coverage else None,
        cuts=tuple(map(float, document["cuts"])) if "cuts" in document else None,
        blank=BlankVerdict(float(document["blank"]["risk"]), float(document["blank"]["loss"]))
        if "blank" in document
        else None,
        run=dict(document.get("run", {})),
        cell_frames=tuple((int(a), int(b)) for a, b in saved["frames"])
        if "frames" in saved
        else None,
    )


def _windows(pairs: Iterable[Any]) -> tuple[Window, ...]:
    return tuple(Window(float(start), float(stop)) for start, stop in pairs)
