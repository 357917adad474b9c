"""Segments in frames of an editor's timeline, and timecodes, in exact arithmetic.

An editor counts frames at one rate. In a file of constant rate these are the frames of the file; a
file of variable rate is laid out by presentation times. The rate is a fraction: with 24 or 23.98
for 23.976 an hour would drift by seconds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction

from vidattn.errors import UsageError
from vidattn.timeline import Segment, Timeline
from vidattn.timeline.segments import first_frame

STANDARD = (
    *(Fraction(n * 1000, 1001) for n in (24, 30, 60)),
    *(Fraction(n) for n in (24, 25, 30, 48, 50, 60)),
)
"""The rates that all editors support, besides other whole numbers and their likes by 1.001."""
UNKNOWN = Fraction(25)
"""The rate of timelines that state none."""
HIGHEST = 240
SAME = 2e-4
"""Relative tolerance of rates: containers that count milliseconds state 23.976 roughly."""


@dataclass(frozen=True, slots=True)
class PlacedSegment:
    """A segment at frames [first, after) of an editor's timeline that starts at 0."""

    segment: Segment
    first: int
    after: int


@dataclass(frozen=True, slots=True)
class TimecodeClock:
    """The timecodes of an editor: frame rate, drop-frame, and the number of the first frame."""

    fps: Fraction
    drop: bool = False
    """Drop-frame: numbers are skipped so that timecodes keep pace with real time."""
    start: int = 0

    @property
    def nominal(self) -> int:
        """Frames per second of timecode."""
        return math.ceil(self.fps)

    @property
    def dropped(self) -> int:
        """Numbers skipped at the start of every minute but each tenth."""
        return self.nominal // 15 if self.drop else 0

    def name(self, frame: int) -> str:
        """Timecode of a frame counted from 0, without `start`: HH:MM:SS:FF, or ;FF if drop.

        After 24 hours it begins anew.
        """
        frame %= 24 * 6 * (600 * self.nominal - 9 * self.dropped)
        if self.drop:
            minute = 60 * self.nominal - self.dropped
            tens, rest = divmod(frame, 10 * minute + self.dropped)
            frame += self.dropped * (9 * tens + max(rest - self.dropped, 0) // minute)
        seconds, frames = divmod(frame, self.nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if self.drop else ':'}{frames:02d}"

    def frame(self, name: str) -> int:
        """The frame of a timecode, the inverse of `name`; raises UsageError."""
        match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d):([0-5]\d)[:;.,](\d{2,3})", name.strip())
        if match is None or int(match[4]) >= self.nominal:
            raise UsageError(
                f"{name!r} is not a timecode at {float(self.fps):.6g} frames per second",
                hint=f"HH:MM:SS:FF with FF below {self.nominal}, such as 01:00:00:00",
            )
        hours, minutes, seconds, frames = map(int, match.groups())
        minutes += 60 * hours
        if minutes % 10 and not seconds and frames < self.dropped:
            raise UsageError(f"{name!r} is no frame: drop-frame timecode skips it")
        whole = (60 * minutes + seconds) * self.nominal + frames
        return whole - self.dropped * (minutes - minutes // 10)


def timecode_clock(timeline: Timeline) -> TimecodeClock:
    """The timecodes of a timeline in an editor, from its start timecode or that of the video.

    29.97 and 59.94 fps use drop-frame, unless the start timecode has a colon before its frames.
    Raises UsageError if the start timecode is impossible at this rate.
    """
    fps = editing_rate(timeline)
    start = timeline.settings.start_timecode
    drop = fps.denominator == 1001 and math.ceil(fps) % 30 == 0
    if start is None:
        return _own_clock(timeline, fps, drop)
    if ";" in start and not drop:
        raise UsageError(
            f"{start!r}: there is no drop-frame timecode at {float(fps):.6g} frames per second",
            hint="put a colon before the frames",
        )
    clock = TimecodeClock(fps, drop and ";" in start)
    return TimecodeClock(fps, clock.drop, clock.frame(start))


def _own_clock(timeline: Timeline, fps: Fraction, drop: bool) -> TimecodeClock:
    """The timecodes that the video states, from 0 if it has none or none of this rate."""
    start = timeline.input.timecode
    if start is not None:
        clock = TimecodeClock(fps, drop and start[-3:-2] in ";.,")
        try:
            return replace(clock, start=clock.frame(start))
        except UsageError:
            pass
    return TimecodeClock(fps, drop)


def with_start_timecode(timeline: Timeline, name: str) -> Timeline:
    """The timeline with a timecode of its first frame; raises as `timecode_clock`."""
    named = replace(timeline, settings=replace(timeline.settings, start_timecode=name))
    timecode_clock(named)
    return named


def editing_rate(timeline: Timeline) -> Fraction:
    """The frame rate of a timeline in an editor.

    A constant rate keeps its own or a whole multiple of it; otherwise it is the nearest standard
    one.
    """
    fps = timeline.input.fps
    if fps is None:
        return UNKNOWN
    if timeline.input.vfr is False:
        whole = fps.denominator == 1 or (fps > 23 and (fps * 1001 / 1000).denominator == 1)
        if fps <= HIGHEST and whole:
            return fps
        for rate in sorted(STANDARD):
            if round(rate / fps) > 0 and abs(rate / fps / round(rate / fps) - 1) < SAME:
                return rate
    return min(STANDARD, key=lambda rate: abs(math.log(rate / fps)))


def place_segments(timeline: Timeline, fps: Fraction | None = None) -> list[PlacedSegment]:
    """The segments of an editor's timeline at `fps`, by default that of `editing_rate`.

    Background and segments shorter than a frame are omitted. Segments never overlap: of labels that
    hold at once, the strongest is there.
    """
    fps = editing_rate(timeline) if fps is None else fps
    own = timeline.input.fps
    countable = own is not None and timeline.input.vfr is False and abs(own / fps - 1) < SAME
    countable = countable and timeline.input.start_offset is None
    placed = []
    for segment in timeline.single_track:
        first, after = (
            _frame(number if countable else None, time, fps)
            for number, time in (
                (segment.start_frame, segment.window.start),
                (segment.end_frame, segment.window.stop),
            )
        )
        if segment.label_id is not None and first < after:
            placed.append(PlacedSegment(segment, first, after))
    return placed


def frame_count(timeline: Timeline, fps: Fraction) -> int:
    """The number of frames of the whole video at a rate, at least one."""
    assert timeline.duration is not None
    last = max((p.after for p in place_segments(timeline, fps)), default=1)
    return max(first_frame(timeline.duration, fps), last)


def _frame(number: int | None, seconds: float, fps: Fraction) -> int:
    by_time = first_frame(seconds, fps)
    # In a file that lost frames, numbers and times disagree; editors go by times.
    return number if number is not None and abs(number - by_time) <= 1 else by_time
