"""Ways to spoil a file, each drawn from a seeded generator: bytes, timestamps, words, JSON values,
archives."""

from __future__ import annotations

import copy
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import av

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62)
WORDS = (
    *("", "0", "-1", "1e999", "NaN", "-0.0", "9" * 400, "1" * 5000, "null", "true", "[]", "{}"),
    *(
        "a",
        "\x00",
        "\ud7ff",
        "\u202e",
        "../../etc/passwd",
        "/dev/zero",
        "%s%n",
        '"',
        "'",
        ",",
        "\t",
    ),
    *("<b>", "=1+1", "[" * 3000, "{" * 20, "\x1b[2J", "\r", "1;2", "é" * 300),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, 1e-300),
    *("", "x", "0", "NaN", "\x00", "a" * 9999, [], {}, [0], [[]], [None], {"a": 1}, [1, 2, 3, 4]),
)
TAGS = re.compile(
    rb"moov|trak|mvhd|tkhd|mdhd|elst|stts|ctts|stss|stsz|stsc|stco|co64|stsd|avc1|avcC|mvex|trun|tfhd|mdat"
    rb"|ftyp|\x1aE\xdf\xa3|\x15I\xa9f|\x16T\xaek|\x1fC\xb6u|\x1cS\xbbk|RIFF|avih|strh|strf|idx1|movi"
    rb"|FLV|GIF8|\x00\x00\x01|vp09|vpcC|hvcC|dvvC|onMetaData|OggS|AVIF|\x30\x26\xb2\x75"
)


def spoiled(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """One to eight changes of bytes; every other one where a container keeps its facts.

    other: a file of the same kind, from which pieces are taken.
    """
    new = bytearray(data)
    tags = [headers.start() for headers in TAGS.finditer(data)]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if not new:
            break
        if tags and chance.random() < 0.5:
            at = min(chance.choice(tags) + chance.randrange(-8, 40), len(new) - 1)
        else:
            at = chance.randrange(len(new)) if chance.random() < 0.6 else chance.randrange(256)
        chance.choice(CHANGES)(new, min(max(at, 0), len(new) - 1), chance, other)
    return bytes(new)


Change = Callable[[bytearray, int, random.Random, bytes], None]


def _byte(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    new[at] = chance.randrange(256)


def _bit(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    new[at] ^= 1 << chance.randrange(8)


def _number(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    width = chance.choice((1, 2, 4, 4, 8))
    value = chance.choice((*NUMBERS, len(new), chance.getrandbits(8 * width)))
    order: Any = chance.choice(("big", "little"))
    new[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, order)


def _cut(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    del new[at:]


def _remove(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    del new[at : at + chance.choice((1, 2, 4, 16, 188, 4096))]


def _repeat(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    size = chance.choice((1, 4, 16, 188, 4096))
    new[at:at] = new[at : at + size] * chance.choice((1, 2, 50))


def _wipe(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    size = min(chance.choice((4, 64, 1024, len(new) // 5)), len(new) - at)
    new[at : at + size] = bytes(size) if chance.random() < 0.5 else chance.randbytes(size)


def _splice(new: bytearray, at: int, chance: random.Random, other: bytes) -> None:
    start = chance.randrange(len(other) + 1)
    new[at:] = other[start:]


CHANGES: tuple[Change, ...] = (
    *(_byte, _bit, _bit, _number, _number, _number),
    *(_cut, _remove, _repeat, _wipe, _splice),
)


MUXERS = {"mov": "mp4", "matroska": "matroska", "mpegts": "mpegts", "mpeg": "vob"}
"""Muxers for what demuxers, by the first of their names, have read; of others they are the same."""
SECONDS = (0.04, 0.5, 1, 7, 33, 3600, 90_000, 3e6, 2**31 / 90_000, 2**33 / 90_000)
"""Lengths of jumps and pauses: also a jump of 25 hours, and where clocks of 31 and 33 bits wrap."""
STAMPS = re.compile(rb"stts|ctts|\x1fC\xb6u")


def untimely(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """A video whose timestamps jump, repeat, wrap, stop or go back; now and then other bytes."""
    if chance.random() < 0.5:
        return spoiled(data, chance, other)
    if chance.random() < 0.3 and STAMPS.search(data):
        return _restamped(data, chance)
    try:
        new = _remuxed(data, chance)
        joined = data[:1] == b"G" and chance.random() < 0.3  # a transport stream
        return new + _remuxed(other if other[:1] == b"G" else data, chance) if joined else new
    except (av.error.FFmpegError, ValueError, OverflowError):  # no muxer takes such times
        return spoiled(data, chance, other)


def _remuxed(data: bytes, chance: random.Random) -> bytes:
    """The same packets with other timestamps."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data)) as source:
        name = source.format.name.split(",")[0]
        options = {"cluster_time_limit": "200"} if name == "matroska" else {}
        with av.open(out, "w", format=MUXERS.get(name, name), options=options) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            packets = [packet for packet in source.demux(video=0) if packet.size]
            clock = float(packets[0].time_base)
            stamps = [packet.pts or 0 for packet in packets]
            for _ in range(chance.choice((1, 1, 2, 4))):
                stamps = chance.choice(RETIMINGS)(stamps, chance, clock)
            decoded = list(accumulate(stamps, lambda last, time: max(last + 1, time)))
            if chance.random() < 0.7:  # most muxers want times that rise
                stamps = decoded
            for packet, pts, dts in zip(packets, stamps, decoded, strict=True):
                packet.pts, packet.dts, packet.stream = pts, dts, stream
                target.mux(packet)
    return out.getvalue()


Retiming = Callable[[list[int], random.Random, float], list[int]]


def _jump(stamps: list[int], chance: random.Random, clock: float) -> list[int]:
    at, ticks = chance.randrange(len(stamps)), round(chance.choice(SECONDS) / clock)
    ticks *= chance.choice((1, 1, -1))
    return [time + ticks * (i >= at) for i, time in enumerate(stamps)]


def _swing(stamps: list[int], chance: random.Random, clock: float) -> list[int]:
    """One or every other stamp is far off, and back again."""
    at, step = chance.randrange(len(stamps)), chance.choice((2, len(stamps)))
    ticks = round(chance.choice(SECONDS) / clock)
    return [time + ticks * (i % step == at % step) for i, time in enumerate(stamps)]


def _double(stamps: list[int], chance: random.Random, clock: float) -> list[int]:
    at, count = chance.randrange(len(stamps)), chance.choice((1, 2, len(stamps)))
    return [stamps[at] if at <= i <= at + count else time for i, time in enumerate(stamps)]


def _slow(stamps: list[int], chance: random.Random, clock: float) -> list[int]:
    """A pause behind every frame."""
    ticks = round(chance.choice(SECONDS) / clock)
    return [time + i * ticks for i, time in enumerate(stamps)]


def _fast(stamps: list[int], chance: random.Random, clock: float) -> list[int]:
    return [time // chance.choice((2, 1000, 10**9)) for time in stamps]


def _wrap(stamps: list[int], chance: random.Random, clock: float) -> list[int]:
    """A clock that begins anew in the middle, as one of 31, 32 or 33 bits does at its end."""
    bits, middle = chance.choice((31, 32, 33)), stamps[len(stamps) // 2]
    modulus = chance.choice((2**bits, max(middle, 1)))
    return [(time + modulus - middle) % modulus for time in stamps]


def _shuffle(stamps: list[int], chance: random.Random, clock: float) -> list[int]:
    return chance.sample(stamps, len(stamps))


RETIMINGS: tuple[Retiming, ...] = (_jump, _jump, _swing, _double, _slow, _fast, _wrap, _shuffle)


def _restamped(data: bytes, chance: random.Random) -> bytes:
    """Another number in a table of times (mp4), or as the time of a cluster (Matroska)."""
    new = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        found = chance.choice(list(STAMPS.finditer(data)))
        value = chance.choice((*NUMBERS, *(round(1000 * seconds) for seconds in SECONDS)))
        if found.group() == b"\x1fC\xb6u":
            at, size = data.find(b"\xe7", found.end(), found.end() + 32) + 2, 2
        else:
            entries = int.from_bytes(data[found.end() + 4 : found.end() + 8], "big")
            at, size = found.end() + 8 + 8 * chance.randrange(max(entries, 1)) + 4, 4
        if 2 <= at <= len(new) - size:
            new[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "big")
    return bytes(new)


def misspelled(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """A text with another word or line somewhere; now and then other bytes."""
    if chance.random() < 0.25 or not data:
        return spoiled(data, chance, other)
    text = data.decode("utf-8", "surrogateescape")
    for _ in range(chance.choice((1, 1, 2, 4))):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        pieces = re.split(r"([,;:\s<>\"|=]+)", lines[at])
        kind = chance.randrange(5)
        if kind <= 2:
            pieces[chance.randrange(len(pieces))] = chance.choice(WORDS)
            lines[at] = "".join(pieces)
        elif kind == 3:
            lines[at:at] = [lines[chance.randrange(len(lines))]] * chance.choice((1, 3, 100))
        else:
            del lines[at]
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogateescape")


def falsified(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """A JSON document with other values in some places; now and then other words or bytes."""
    if chance.random() < 0.3:
        return misspelled(data, chance, other)
    document = json.loads(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        _falsify(document, chance)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _falsify(node: Any, chance: random.Random) -> None:
    """Change one value somewhere below `node`."""
    while node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        deeper = isinstance(node[key], dict | list) and node[key]
        if not deeper or chance.random() < 0.2:
            kind = chance.randrange(6)
            if kind == 0:
                del node[key]
            elif kind == 1 and isinstance(node, dict):
                node[chance.choice(("x", "", "schema", "kind", "depth"))] = node.pop(key)
            elif kind == 1 or (kind == 2 and isinstance(node, list)):
                node += [copy.deepcopy(node[key])]
            else:
                node[key] = copy.deepcopy(chance.choice(VALUES))
            return
        node = node[key]


def falsified_lines(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """JSON Lines, one of which says something else."""
    if chance.random() < 0.3:
        return misspelled(data, chance, other)
    lines = data.splitlines()
    at = chance.randrange(len(lines))
    lines[at] = falsified(lines[at], chance, lines[chance.randrange(len(lines))])
    return b"\n".join(lines) + b"\n"


def safetensors(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """A safetensors file whose header lies, mostly with a length that is right."""
    if chance.random() < 0.3:
        return spoiled(data, chance, other)
    length = int.from_bytes(data[:8], "little")
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    manifest = header.get("__metadata__", {}).get("vidattn")
    if manifest and chance.random() < 0.6:
        header["__metadata__"]["vidattn"] = falsified(manifest.encode(), chance, b"{}").decode(
            "utf-8", "surrogateescape"
        )
        text = json.dumps(header, ensure_ascii=True).encode()
    else:
        text = falsified(json.dumps(header).encode(), chance, data[8:200])
    if chance.random() < 0.2:
        tensors = spoiled(tensors, chance, other)
    return len(text).to_bytes(8, "little") + text + tensors


def archive(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """A zip file, such as torch and numpy write, with one member spoiled and its checksum right."""
    if chance.random() < 0.4 or not data.startswith(b"PK"):
        return spoiled(data, chance, other)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w") as after:
        names = before.namelist()
        chosen = chance.choice([name for name in names if name.endswith((".pkl", ".npy"))] or names)
        for name in names:
            member = before.read(name)
            new = spoiled(member, chance, other) if name == chosen else member
            after.writestr(zipfile.ZipInfo(name), new)
    return out.getvalue()


def records(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """A window log with one record spoiled, mostly with a checksum that is right."""
    if chance.random() < 0.4:
        return spoiled(data, chance, other)
    head, at, parts = data[: data.index(b"\n") + 1], data.index(b"\n") + 1, []
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at)[0]
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    chosen = chance.randrange(len(parts))
    change = falsified if chosen == 0 else spoiled
    parts[chosen] = change(parts[chosen], chance, parts[-1])
    if chance.random() < 0.2:
        chance.shuffle(parts)
    return head + b"".join(struct.pack("<II", len(p), zlib.crc32(p)) + p for p in parts)
