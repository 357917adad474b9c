"""A timeline as text for people: what was seen of the file, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from vidattn.cli.console import Desk, clean, clock_time
from vidattn.cli.ribbon import Look, bars, rows, tracks
from vidattn.errors import InputError
from vidattn.timeline import BACKGROUND, Timeline
from vidattn.types import Window

BAR = 20
BEGINS = (b"{", b" ", b"\n", b"\r", b"\t", b"[", b"\xef")
"""What JSON that can be read may begin with."""
SETTINGS = {
    "segment": ("frames", "step_seconds", "window_seconds", "stride_seconds"),
    "classify": ("frames", "step_seconds", "clips", "crops", "different_frames"),
}
"""What the second line is made of."""


def saved(path: str) -> Timeline:
    """The timeline in a JSON file; raises InputError, with the path, when there is none."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(1)
            # A film is not read to its end to find that it is none.
            text += file.read() if text in BEGINS else b""
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if text[:1] not in BEGINS:
        raise InputError(
            f"{path}: not a timeline in JSON",
            hint="give a .json file that vidattn segment or classify has written",
        )
    try:
        return Timeline.from_json(text)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from None


def show(desk: Desk, timeline: Timeline, count: int = 5) -> None:
    """Print a timeline: plain lines, the same everywhere, or on a terminal what has room there.

    count: labels that are shown of a classification.
    """
    if desk.lively(desk.out):
        desk.lines(lively(timeline, count, Look.of(desk.out)))
        return
    desk.lines(header(timeline))
    desk.lines(ranking(timeline, count) if timeline.task == "classify" else segments(timeline))


def lively(timeline: Timeline, count: int, look: Look) -> Iterator[Text]:
    """A timeline as a terminal shows it: facts, segments, a track for each label, how fast it was.

    count: labels that are shown of a classification.
    """
    for line in header(timeline):
        yield from look.folded(line)
    if not timeline.windows:
        return
    total = timeline.run.get("total_s")
    part = Window(timeline.windows[0].start, max(w.stop for w in timeline.windows))
    if timeline.task == "classify":
        yield from bars(timeline, count, look)
    else:
        yield from rows(timeline.segments, look)
        yield Text("")
        yield from tracks(timeline.segments, part, look)
    if isinstance(total, int | float) and total > 0:
        speed = f", {part.duration / total:.3g}x real time" if timeline.task == "segment" else ""
        yield Text(f"  took {total:.1f} s{speed}", "dim")


def header(timeline: Timeline) -> Iterator[Text]:
    """Two lines: the file, and how much of it was looked at by what."""
    facts, model = timeline.input, timeline.model
    assert timeline.duration is not None
    length = clock_time(timeline.duration, decimals=0 if timeline.duration >= 60 else 2)
    yield Text.assemble((clean(timeline.source), "bold"), f"  {length}  {clean(_shape(facts))}")
    license_ = f" ({model['license']})" if model.get("license") else ""
    name = f"{model.get('name', 'unnamed model')}{license_}"
    yield Text.assemble(f"  saw {_seen(timeline)}", "    ", (clean(name), "dim"))


def _shape(facts: Mapping[str, Any]) -> str:
    """Size, codec and rate, as far as the document has them."""
    words = [f"{facts['width']}x{facts['height']}" if {"width", "height"} <= facts.keys() else ""]
    words.append(str(facts.get("codec", "")))
    rate = facts.get("fps")
    if isinstance(rate, list | tuple) and len(rate) == 2 and all(isinstance(n, int) for n in rate):
        words.append(f"{rate[0] / max(rate[1], 1):.6g} fps")
    words.append("VFR" if facts.get("vfr") else "")
    words.append(f"turned {facts['rotation']} degrees" if facts.get("rotation") else "")
    return " ".join(word for word in words if word)


def _seen(timeline: Timeline) -> str:
    """How much of the file the answer rests on."""
    settings, share = timeline.settings, timeline.coverage
    part = "whole file" if share > 0.9995 else f"{100 * share:.3g} % of the file"
    wanted = SETTINGS[timeline.task]
    if timeline.task == "classify" and "pool" in settings and "clips" not in settings:
        count = len(timeline.seen or timeline.windows)
        return f"{_count(count, 'window')} pooled by {clean(str(settings['pool']))}, {part}"
    if not all(isinstance(settings.get(name), int | float) for name in wanted):
        return part  # a document of another origin need not have them
    step, frames = settings["step_seconds"], settings["frames"]
    if timeline.task == "segment":
        count = len(timeline.windows)
        return (
            f"{_count(count, 'window')}{_spent(timeline)} of "
            f"{settings['window_seconds']:.3g} s, one every "
            f"{settings['stride_seconds']:.3g} s, {_count(frames, 'frame')} each, {part}"
        )
    clips, crops = settings["clips"], settings["crops"]
    each = f", {crops} crops" if crops > 1 else ""
    total, different = frames * clips, settings["different_frames"]
    seen = _count(total, "frame") + (f" ({different} different)" if different < total else "")
    if clips > 1:
        seen += f" in {clips} clips"
    return f"{seen}, one every {step:.3g} s{each}, {part}"


def _spent(timeline: Timeline) -> str:
    """How many windows were added, and how many not computed."""
    counts = {"added": timeline.added, "reused": timeline.reused}
    words = [f"{count} {what}" for what, count in counts.items() if count is not None]
    return f" ({', '.join(words)})" if words else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def ranking(timeline: Timeline, count: int) -> Iterator[Text]:
    """The `count` best labels of a classification with bars."""
    best = timeline.top(count)
    width = max(len(clean(label)) for label, _ in best)
    for place, (label, score) in enumerate(best, 1):
        yield Text.assemble(f"  {place:>2}  {clean(label):<{width}}  ", *_bar(score))


def segments(timeline: Timeline) -> Iterator[Text]:
    """A line for each segment, then the totals of each label."""
    rows = timeline.segments
    width = max((len(clean(row.label)) for row in rows), default=0)
    for row in rows:
        start, stop = (clock_time(t, decimals=1) for t in (row.window.start, row.window.stop))
        style = "dim" if row.label == BACKGROUND else ""
        yield Text.assemble(
            f"  {start} - {stop}  ", (f"{clean(row.label):<{width}}  ", style), *_bar(row.score)
        )
    yield Text.assemble("  total: ", ", ".join(_total(row) for row in timeline.totals()))


def _total(row: dict[str, Any]) -> str:
    return f"{clean(row['label'])} {100 * row['share']:.3g} % ({row['count']}x)"


def _bar(score: float) -> tuple[str, tuple[str, str]]:
    return f"{100 * score:5.1f} %  ", ("#" * round(BAR * score), "cyan")
