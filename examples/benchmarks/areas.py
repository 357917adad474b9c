"""What four areas of one picture cost, beside one decode and four models.

    python examples/benchmarks/areas.py VIDEO [MODEL] [--rounds 3]

The two that no run can do without are measured alone: decoding the frames that the windows show, at
the size that the areas need, and the model on these frames, cut out and in memory by then. Beside
their sum stands `segment` with the four quarters of the picture. Medians of processor time.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

import vidattn
from vidattn.data.plan import Windowing, plan_windows
from vidattn.inference.batch.inputs import find_videos
from vidattn.inference.batch.job import BatchJob, SegmentOptions
from vidattn.inference.batch.output_files import OutputFiles
from vidattn.inference.batch.segment import segment_inputs
from vidattn.inference.window_scoring import resolve_overlap
from vidattn.models.classifier import Classifier
from vidattn.types import Window
from vidattn.video import Prefetcher, Video
from vidattn.video.framing import FrameCutter, areas_of
from vidattn.video.readers.memory import MemoryVideo

ROIS = {f"{x}{y}": f"{x}%,{y}%,50%,50%" for x in (0, 50) for y in (0, 50)}


def processor() -> float:
    """Seconds of processor time of this process and of all decoders, those that ended included."""
    own = psutil.Process()
    return sum(sum(one.cpu_times()[:4]) for one in (own, *own.children(recursive=True)))


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of some work."""
    before = processor()
    work()
    return processor() - before


class Parts:
    """One decode of a video, and what the model sees of it."""

    def __init__(self, path: str, classifier: Classifier, opening: Prefetcher) -> None:
        self._path, self._opening = path, opening
        self._looking = [classifier.look_at(area) for area in ROIS.values()]
        self._side = classifier.clip.short_side
        with self._open() as video:
            windowing = resolve_overlap(Windowing(), classifier)
            whole = Window(0.0, video.duration)
            views = plan_windows(video.times, whole, classifier.clip, windowing, path).views
            self._indices = sorted({index for view in views for index in view.indices})
            self._times = video.times[self._indices] - video.times[self._indices[0]]
            cutters = [FrameCutter(one.clip.framing, video, self._side) for one in self._looking]
            rows = [[cut(*item) for cut in cutters] for item in video.stream(self._indices)]
        self._frames = [np.stack(row) for row in zip(*rows, strict=True)]

    def _open(self) -> Video:
        areas = [area for one in self._looking for area in areas_of(one.clip.framing, self._path)]
        return self._opening.open(self._path, "auto", self._side, tuple(areas))

    def decode(self) -> None:
        """Decode all frames that windows show."""
        with self._open() as video:
            for _ in video.stream(self._indices):
                pass

    def score(self) -> None:
        """Segment each of the areas, whose frames are in memory."""
        for own, frames in zip(self._looking, self._frames, strict=True):
            vidattn.segment(MemoryVideo(frames, times=self._times), own.look_at(""))


def main() -> None:
    """Measure in turns, and print a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("video")
    parser.add_argument("model", nargs="?", default="motion-tiny")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    classifier = vidattn.load(given.model)
    with tempfile.TemporaryDirectory() as folder, Prefetcher() as opening:
        parts = Parts(given.video, classifier, opening)

        def whole() -> None:
            videos, files = find_videos([given.video]), OutputFiles(folder=Path(folder))
            job = BatchJob.create(videos, files, areas=ROIS)
            for event in segment_inputs(job, classifier, SegmentOptions(rois=ROIS), opening):
                assert not isinstance(event, vidattn.Failed), event

        works = (parts.decode, parts.score, whole)
        rounds = [[spent(work) for work in works] for _ in range(given.rounds + 1)][1:]
    decode, score, run = (statistics.median(row) for row in zip(*rounds, strict=True))
    print(
        f"decode {decode:.2f} s, four models {score:.2f} s; four areas {run:.2f} s, "
        f"{run / (decode + score):.2f}x of both"
    )


if __name__ == "__main__":
    main()
