"""JSON that people can read and that cannot steer a terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NoReturn

from vidattn.types import Window


def dumps(value: Any) -> str:
    """JSON on one line of valid UTF-8, without control characters.

    Raises ValueError for NaN and Infinity.
    """
    return _escape(_dumps(value))


def dumps_pretty(value: Any, indent: int) -> str:
    """As `dumps`, with one line for each key of the document and each row of its tables."""
    return _escape(_format(value, indent))


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """The object that a document of JSON is; None for any other text."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return plain if isinstance(plain, dict) else None


def refuse_constant(text: str) -> NoReturn:
    """Raise ValueError for NaN and Infinity, as `parse_constant` of `json.loads`."""
    raise ValueError(f"{text} is not a number")


def to_json_value(value: Any) -> Any:
    """A value of JSON types: fractions and windows become pairs, arrays and tuples lists."""
    if isinstance(value, Mapping):
        return {str(k): to_json_value(v) for k, v in value.items()}
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    if isinstance(value, Window):
        return [value.start, value.stop]
    if hasattr(value, "tolist"):  # arrays and their scalars, without loading numpy for --help
        return to_json_value(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json_value(v) for v in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _format(value: Any, indent: int, pad: str = "\n") -> str:
    deeper = pad + " " * indent
    if isinstance(value, dict) and (pad == "\n" or any(map(_is_table, value.values()))):
        rows = [f"{_dumps(k)}: {_format(v, indent, deeper)}" for k, v in value.items()]
        return "{" + deeper + ("," + deeper).join(rows) + pad + "}"
    if _is_table(value):
        return "[" + deeper + ("," + deeper).join(map(_dumps, value)) + pad + "]"
    return _dumps(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list | dict)


def _escape(text: str) -> str:
    r"""Control characters, line separators and undecodable bytes of file names as \uXXXX."""
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text)
