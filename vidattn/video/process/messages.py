"""Messages between a worker process and its supervisor: a length prefix, JSON, raw bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from vidattn.io.json import parse_object

HEAD = struct.Struct("<IQ")
"""Length of the JSON part and of the raw part, in bytes."""
MAX_JSON = 8 << 20
MAX_RAW = 4 << 30

Meta = dict[str, Any]


def encode(meta: Mapping[str, Any], raw_bytes: int = 0) -> bytes:
    """A message without its raw part."""
    text = json.dumps(meta).encode()
    return HEAD.pack(len(text), raw_bytes) + text


def parse_head(head: bytes, max_raw: int = MAX_RAW) -> tuple[int, int]:
    """JSON and raw length of a message; raises ValueError for lengths no honest sender sends."""
    text, raw = HEAD.unpack(head)
    if text > MAX_JSON or raw > max_raw:
        raise ValueError(f"a message of {text} + {raw} bytes")
    return text, raw


def decode(text: bytes) -> Meta:
    """The JSON part as a dict; raises ValueError for anything else."""
    meta = parse_object(text)
    if meta is None or "kind" not in meta:
        raise ValueError("not a message")
    if meta["kind"] == "end" and not isinstance(meta.get("number"), int):
        raise ValueError("an end of nothing")
    return meta
