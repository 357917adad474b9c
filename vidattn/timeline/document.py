"""The JSON document of a timeline, read again: every value is checked, or leads to one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from vidattn.errors import InputError, UsageError
from vidattn.timeline.decoding import Decoding
from vidattn.timeline.quantize import unpack_scores
from vidattn.types import ModelInfo, Settings, VideoInfo, Window

SCHEMA = "vidattn/timeline/1"
_WRONG = (ArithmeticError, AttributeError, IndexError, RecursionError, TypeError, ValueError)
"""What a value of the wrong kind or size leads to."""
T = TypeVar("T")


def parse_document(kind: Callable[..., T], text: str | bytes) -> T:
    """A timeline from its document; kind: `vidattn.timeline.Timeline`, which refuses values that
    do not fit one another.

    Raises InputError when it is not such a document, naming what is wrong.
    """
    try:
        return _parsed(kind, json.loads(text, parse_constant=_refuse_constant))
    except UnicodeDecodeError:
        reason = "it is no text"
    except (*_WRONG, UsageError) as e:
        reason = str(e)
    except KeyError as e:
        reason = f"{e.args[0]!r} is missing"
    raise InputError(
        f"not a {SCHEMA} document: {reason}",
        hint="give a .json file that vidattn segment or classify has written",
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _parsed(kind: Callable[..., T], document: Any) -> T:
    """The timeline of a document; raises whatever a wrong value leads to."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f'its "schema" is not {SCHEMA}')
    source, settings = dict(document["input"]), dict(document["settings"])
    coverage, saved = document["coverage"], document["scores"]
    known = [f.name for f in fields(Decoding) if f.name in settings]
    decoding = Decoding(**{name: settings.pop(name) for name in known})
    labels = tuple(map(str, saved["labels"]))
    lost = zip(coverage["unreadable"], coverage["reasons"], strict=True)
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
        unreadable=tuple((Window(*map(float, pair)), code) for pair, code in lost),
        seen=_windows(coverage["seen"]) if "seen" in coverage else None,
        reused=int(coverage["reused"]) if "reused" in coverage else None,
        cuts=tuple(map(float, document["cuts"])) if "cuts" in document else None,
        run=dict(document.get("run", {})),
        cell_frames=tuple((int(a), int(b)) for a, b in saved["frames"])
        if "frames" in saved
        else None,
    )


def _windows(pairs: Any) -> tuple[Window, ...]:
    return tuple(Window(float(start), float(stop)) for start, stop in pairs)
