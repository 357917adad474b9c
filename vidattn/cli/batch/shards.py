"""A share of a corpus for each of several machines: the same shares wherever they are made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from heapq import heapify, heapreplace
from pathlib import Path

from vidattn.cli.batch.inputs import Input
from vidattn.errors import UsageError


def parsed(text: str) -> tuple[int, int]:
    """ "2/8" as (2, 8): the third of eight shards. Raises UsageError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    index, count = map(int, match.groups()) if match else (0, 0)
    if not count:
        raise UsageError(f"--shard {text}: is not I/N", hint="for example 0/4, 1/4, 2/4 and 3/4")
    if index >= count:
        raise UsageError(
            f"--shard {text}: shards are counted from 0", hint=f"0/{count} to {count - 1}/{count}"
        )
    return index, count


def share(inputs: Sequence[Input], index: int, count: int) -> list[Input]:
    """The inputs of one of `count` shards, in their order; each input is in exactly one.

    Shards are balanced by the bytes of the files, which takes no opening: the largest goes first,
    each to the shard with the least so far. Only paths and sizes decide, so every machine comes to
    the same shards, in whatever order it found the files.
    """
    sizes = {one.path: _size(one.path) for one in inputs}
    loads = [(0, shard) for shard in range(count)]
    heapify(loads)
    mine = set()
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        load, shard = loads[0]
        # A file costs something however small it is, so that empty ones are dealt out, too.
        heapreplace(loads, (load + sizes[path] + 1, shard))
        if shard == index:
            mine.add(path)
    return [one for one in inputs if one.path in mine]


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0
