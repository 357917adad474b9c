"""Weights files whose headers lie about the tensors behind them: one clear error each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Run
from vidattn import weights
from vidattn.errors import WeightsError

Change = Callable[[dict[str, Any], bytearray], object]


def corrupt(path: Path, model: Path, change: Change, length: int | None = None) -> Path:
    """A weights file with another header, whose length is right unless `length` says otherwise."""
    data = model.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header, tensors = json.loads(data[8:end]), bytearray(data[end:])
    change(header, tensors)
    text = json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + tensors)
    return path


def size_of(entry: dict[str, Any]) -> int:
    start, stop = entry["data_offsets"]
    return int(stop - start)


def largest(header: dict[str, Any]) -> dict[str, Any]:
    """The entry of the largest tensor."""
    entries = [entry for key, entry in header.items() if key != "__metadata__"]
    largest_entry: dict[str, Any] = max(
        entries, key=lambda e: e["data_offsets"][1] - e["data_offsets"][0]
    )
    return largest_entry


def dtype(name: str) -> Change:
    return lambda header, tensors: largest(header).update(dtype=name)


def shape(*sizes: int) -> Change:
    return lambda header, tensors: largest(header).update(shape=list(sizes))


def offsets(*places: int) -> Change:
    return lambda header, tensors: largest(header).update(data_offsets=list(places))


LIES: dict[str, Change] = {
    "half as wide": dtype("F16"),
    "twice as wide": dtype("F64"),
    "whole numbers": dtype("I32"),
    "bytes": dtype("U8"),
    "eight bits": dtype("F8_E4M3"),
    "truth values": dtype("BOOL"),
    "no type": dtype("F33"),
    "a type that is a number": lambda header, tensors: largest(header).update(dtype=7),
    "endless": shape(2**62, 2**62),
    "below zero": shape(-1),
    "no shape": shape(),
    "flat": lambda header, tensors: largest(header).update(shape=[size_of(largest(header)) // 4]),
    "behind the end": offsets(0, 10**12),
    "backwards": offsets(64, 0),
    "before the start": offsets(-64, 64),
    "one of two ends": offsets(0),
    "on another tensor": offsets(0, 4),
    "an entry that is a list": lambda header, tensors: header.update(head=[1, 2]),
    "an entry too many": lambda header, tensors: header.update(
        extra={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    ),
    "metadata that is no text": lambda header, tensors: header.update(__metadata__={"vidattn": 1}),
    "metadata that is a list": lambda header, tensors: header.update(__metadata__=[]),
    "bytes left over": lambda header, tensors: tensors.extend(bytes(100)),
    "bytes missing": lambda header, tensors: tensors.__delitem__(slice(-100, None)),
    "no tensors": lambda header, tensors: tensors.clear(),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(lie: str, model: Path, tmp_path: Path) -> None:
    path = corrupt(tmp_path / "a.safetensors", model, LIES[lie])
    with pytest.raises(WeightsError) as caught:
        weights.load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert len(caught.value.message) < 1000 + len(str(path))


@pytest.mark.parametrize("length", [0, 1, 7, 100, 10**6, 10**8, 10**8 + 1, 2**63 - 1, 2**64 - 1])
def test_a_header_of_another_length_is_refused(length: int, model: Path, tmp_path: Path) -> None:
    path = corrupt(tmp_path / "a.safetensors", model, lambda *_: None, length)
    with pytest.raises(WeightsError, match=f"^{path}: "):
        weights.load(path)


@pytest.mark.parametrize("command", ["verify", "info", "import"])
def test_commands_agree_in_one_line(command: str, quick: Run, model: Path, tmp_path: Path) -> None:
    path = corrupt(tmp_path / "a.safetensors", model, LIES["twice as wide"])
    more = ["-o", tmp_path / "b.safetensors"] if command == "import" else []
    done = quick("models", command, path, *more, code=3)
    assert done.stderr.startswith(f"error: {path}: broken safetensors: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "b.safetensors").exists()
