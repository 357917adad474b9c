"""Estimates of time and memory for segmenting a file, measured on a few of its windows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from vidattn.data.frames import file_start
from vidattn.data.plan import Windowing
from vidattn.inference.events import Event, Scored, Started
from vidattn.inference.profiling import peak_rss_mb
from vidattn.inference.scorer import batch_size_of
from vidattn.inference.stream import stream
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.types import Settings
from vidattn.video import Opening, Video, VideoDetails, open_video

PLACES = (0.0, 0.4, 0.8)
"""Where in a file trials start, as fractions of it: a dark opening is not typical. A trial ends
where the next one starts; a short file is one trial."""
TRIAL_SECONDS = 3.0
TRIAL_BATCHES = 2
DECODE_SECONDS = 1.5


@dataclass(frozen=True)
class Estimate:
    """A file, and the time and memory for segmenting all of it on this machine."""

    path: str
    facts: VideoDetails
    reader: str
    settings: Settings
    windows: int
    tried: int
    """Number of windows that were run."""
    decode_fps: float
    """Frames decoded in a second, in order, at the size of the model."""
    window_s: float
    """Seconds for one window in a batch, decoding included."""
    total_s: float
    memory_mb: float
    """Peak memory of this process and its decoder in the trials, in 1e6 bytes; it does not grow
    with the length of the file."""
    notes: tuple[str, ...]


def estimate(
    path: str,
    classifier: Classifier,
    windowing: Windowing = Windowing(),
    *,
    runtime: Runtime = Runtime(),
    opening: Opening = open_video,
) -> Estimate:
    """Run windows at a few places of a file and extrapolate. Errors as of `stream`."""
    begin = time.perf_counter()
    clip = classifier.clip
    with opening(
        path, reader=runtime.reader, short_side=clip.short_side, framing=clip.framing
    ) as video:
        opened = time.perf_counter() - begin
        started, prepared, first, trials = _trials(video, classifier, runtime, windowing)
        speed = _decode_speed(video)
        facts, reader, decoder = video.details, video.reader, _children_mb()
    tried = sum(count for count, _ in trials)
    each = sum(seconds for _, seconds in trials) / max(tried, 1)
    count = len(started.windows)
    batch = min(_batch(classifier, runtime, windowing), count)
    each = each or first / batch
    warm_up = max(first - batch * each, 0.0)
    return Estimate(
        path=path,
        facts=facts,
        reader=reader,
        settings=started.settings,
        windows=count,
        tried=tried + batch,
        decode_fps=speed,
        window_s=each,
        total_s=opened + prepared + warm_up + count * each,
        memory_mb=round(peak_rss_mb() + decoder + 8e-6 * count * len(classifier.labels), 1),
        notes=started.warnings + started.notes,
    )


def _trials(
    video: Video, classifier: Classifier, runtime: Runtime, windowing: Windowing
) -> tuple[Started, float, float, list[tuple[int, float]]]:
    """The plan of the whole file, the seconds of planning (with a precision check) and of the first
    batch, and windows and seconds of each trial after its first batch."""
    batch = _batch(classifier, runtime, windowing)
    plan: Started | None = None
    prepared = first = 0.0
    trials = []
    for share, until in zip(PLACES, (*PLACES[1:], 1.0), strict=True):
        if plan is not None:
            at = plan.windows[int(share * len(plan.windows))].start + file_start(video)
            windowing = replace(windowing, start=at)
        with closing(stream(video, classifier, windowing, runtime=runtime)) as events:
            begin = time.perf_counter()
            started = next(events)
            prepared = prepared or time.perf_counter() - begin
            assert isinstance(started, Started)
            plan = plan or started
            count = len(plan.windows)
            short = count <= batch * (1 + TRIAL_BATCHES) * len(PLACES)
            most = count if short else int(until * count) - int(share * count)
            seconds, tried, warm = _timed(islice(events, most), batch)
        first = first or warm
        trials.append((tried, seconds))
        if short:
            break
    assert plan is not None
    return plan, prepared, first, trials


def _batch(classifier: Classifier, runtime: Runtime, windowing: Windowing) -> int:
    """The number of windows that are scored at once."""
    return batch_size_of(classifier, runtime, windowing.frames or classifier.clip.frames)


def _timed(events: Iterable[Event], batch: int) -> tuple[float, int, float]:
    """Seconds and windows of a trial without its first batch, and the seconds of the latter."""
    begin = time.perf_counter()
    warm = seconds = 0.0
    count = 0
    for done, event in enumerate(events, 1):
        if not isinstance(event, Scored):
            break
        now = time.perf_counter() - begin
        if done == batch:
            warm = now
        elif done > batch and done % batch == 0:
            seconds, count = now - warm, done - batch
            if seconds >= TRIAL_SECONDS and count >= TRIAL_BATCHES * batch:
                break
    if not count:
        warm = warm or time.perf_counter() - begin
    return seconds, count, warm


def _decode_speed(video: Video) -> float:
    """Frames decoded in a second from the middle of the file; seeking does not count."""
    begin = time.perf_counter()
    for count, _ in enumerate(video.stream(range(video.frames // 2, video.frames))):
        now = time.perf_counter()
        if not count:
            begin = now
        elif now - begin > DECODE_SECONDS:
            return count / (now - begin)
    return max(video.frames - video.frames // 2 - 1, 1) / (time.perf_counter() - begin)


def _children_mb() -> float:
    """The sum of the peak memory of all child processes, in 1e6 bytes.

    From /proc: what the system reports of ended children counts the pages of their parent.
    """
    total = 0
    for children in Path("/proc/self/task").glob("*/children"):
        try:
            statuses = [
                Path("/proc", n, "status").read_text() for n in children.read_text().split()
            ]
        except OSError:  # the process has just ended
            continue
        matches = (re.search(r"VmHWM:\s+(\d+) kB", status) for status in statuses)
        total += sum(int(match[1]) for match in matches if match)
    return total * 1024 / 1e6
