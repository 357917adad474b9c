"""Times of frames whose timestamps go back, double or jump, from the frames in the order shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn.video.container.packets import NO_PTS, Ticks

JUMP_SECONDS = 10.0
"""A longer step forward is a jump, as for FFmpeg (`-dts_delta_threshold`)."""
NEAR = 250
"""Timestamps that may be wrong in a row; after more another part begins."""
REORDER = 64
"""Places that a frame may be stored before or after its place in the order shown."""
MOST_WORK = 5e9
"""Odd steps times timestamps; files that mix as many hold none that are true."""


@dataclass(frozen=True, slots=True, eq=False)
class Repaired:
    """Times of all frames, and what was wrong with their timestamps."""

    ticks: NDArray[np.float64]
    """[N], strictly rising."""
    seams: tuple[int, ...] = ()
    """Frames with which a part begins whose timestamps do not follow those before it."""
    wrong: int = 0
    """Frames whose own timestamp contradicts those around it."""


def repair(stamps: Ticks, usual: float, jumps: NDArray[np.bool_] | None = None) -> Repaired | None:
    """Rising times from `stamps`, [N] ticks or NO_PTS, in the order shown; None if they are no use.

    A few stamps that contradict those before and after them are replaced by times in between; where
    the rest begins anew, earlier or after a jump, the parts follow one another at `usual` ticks.
    jumps: [N], whether the step to a frame is too far to be a pause.
    """
    number = np.flatnonzero(stamps != NO_PTS)
    if not len(number):
        return None
    ticks = stamps[number].astype(np.float64)
    odd = np.diff(ticks, prepend=ticks[0] - usual) <= 0
    if jumps is not None:
        odd |= jumps[number]
    places = np.flatnonzero(odd).tolist()
    if 4 * len(places) > max(len(ticks), 8) or len(places) * len(ticks) > MOST_WORK:
        return None
    keep, seams, done = np.ones(len(ticks), np.bool_), list[int](), 1
    for at in places:
        if at < done:
            continue
        begin, end = _wrong_span(ticks, np.asarray(number * usual, np.float64), at)
        keep[begin:end] = False
        ticks[begin:end] = np.linspace(ticks[begin - 1], ticks[end], end - begin + 2)[1:-1]
        if begin == end:
            ticks[at:] += ticks[at - 1] - ticks[at] + usual * (number[at] - number[at - 1])
            seams.append(int(number[at]))
        done = end + 1
    if (np.diff(ticks) <= 0).any():
        return None  # too close together to be told apart
    filled = _fill(len(stamps), number[keep], ticks[keep], usual)
    return Repaired(filled, tuple(seams), int(len(ticks) - keep.sum()))


def is_shuffled(pts: Ticks) -> bool:
    """Whether packets or frames lie further from their place in time than decoders reorder them."""
    places = np.argsort(pts, kind="stable")
    return bool((np.abs(places - np.arange(len(pts))) > REORDER).any())


def _wrong_span(ticks: NDArray[np.float64], even: NDArray[np.float64], at: int) -> tuple[int, int]:
    """The stamps [begin, end) that are wrong around the odd step to `at`; none at a seam.

    They are those before it that lie behind it in time, or those from it on until stamps continue
    where they were, with as much time in between as frames at the usual rate take. even: their
    times at that rate.
    """
    first = max(at - NEAR, 0)
    before = np.flatnonzero(ticks[first:at] < ticks[at])
    doubled = ticks[at] == ticks[at - 1]
    begin = first + int(before[-1]) + 1 if len(before) and not doubled else at
    if begin < at and _fits(ticks, even, begin, at):
        return begin, at
    behind = np.flatnonzero(ticks[at + 1 : at + NEAR] > ticks[at - 1])
    for end in (at + 1 + behind[:NEAR]).tolist():
        if _fits(ticks, even, at, end):
            return at, end
    return at, at


def _fits(ticks: NDArray[np.float64], even: NDArray[np.float64], begin: int, end: int) -> bool:
    """Whether the time between the stamps around [begin, end) is that of as many frames."""
    room, usual = ticks[end] - ticks[begin - 1], even[end] - even[begin - 1]
    short = usual / (end - begin + 1)
    return bool(room < 4 * usual and (end - begin == 1 or room > usual - 0.75 * short))


def _fill(
    count: int, number: NDArray[np.int64], ticks: NDArray[np.float64], usual: float
) -> NDArray[np.float64]:
    """The times of `count` frames, of which those numbered have one."""
    every = np.arange(count)
    filled = np.asarray(np.interp(every, number, ticks), np.float64)
    before, after = every < number[0], every > number[-1]
    filled[before] += (every[before] - number[0]) * usual
    filled[after] += (every[after] - number[-1]) * usual
    return filled
