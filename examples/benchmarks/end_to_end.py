"""A film from file to scores: vidattn beside two loops around Hugging Face's model, same windows.

    python examples/benchmarks/end_to_end.py                 # 10 minutes of 720p, ViT-B divided
    python examples/benchmarks/end_to_end.py --minutes 2     # the same windows of less film
    python examples/benchmarks/end_to_end.py --minutes 1 --width 192 --depth 4

Windows are 8 frames 32/30 s apart, side by side and overlapping by half. "once" decodes the film
once with PyAV and shows its windows, through Hugging Face's processor, to its model in float32;
"anew" opens, seeks, decodes and prepares for each window. All three have the same random weights.
Needs transformers. The film, H.264 with B-frames, is made once and kept in the temporary folder.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import torch
from decoding import PIECE, encode
from memory import repeat
from transformers import VideoMAEImageProcessor

import vidattn
from vidattn.bench import hugging_face
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier
from vidattn.models.timesformer import TimeSformer
from vidattn.plan import plan_windows
from vidattn.scorer import Scorer
from vidattn.types import View, Window

MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
H264 = {"preset": "veryfast", "bf": "3", "g": "150"}


def film(minutes: float) -> Path:
    """The film, made when it is not there yet."""
    path = Path(tempfile.gettempdir(), f"vidattn-720p-{minutes:g}min.mp4")
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            piece, whole = Path(folder, "piece.mp4"), Path(folder, "whole.mp4")
            encode(piece, "libx264", H264, 1280, 720)
            repeat(piece, whole, round(minutes * 60 / PIECE))
            whole.rename(path)
    return path


class Theirs:
    """Hugging Face's processor and model."""

    def __init__(self, model: torch.nn.Module, side: int, batch_size: int) -> None:
        self.model, self.batch_size = model.eval(), batch_size
        self.processor = VideoMAEImageProcessor(
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            image_mean=MEAN,
            image_std=STD,
        )

    def prepared(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """Frames uint8 [H, W, 3] to [1, T, 3, S, S]."""
        return self.processor(list(frames), return_tensors="pt")["pixel_values"]

    def answers(self, clips: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Probabilities of clips, in batches."""
        found: list[np.ndarray] = []
        with torch.no_grad():
            for first in range(0, len(clips), self.batch_size):
                batch = torch.cat(list(clips[first : first + self.batch_size]))
                found += list(self.model(batch).logits.softmax(-1).numpy())
        return found


def once(path: Path, views: Sequence[View], theirs: Theirs) -> np.ndarray:
    """Decode the film once, keeping the frames that windows still need."""
    wanted = {index for view in views for index in view.indices}
    held: dict[int, np.ndarray] = {}
    clips: list[torch.Tensor] = []
    scores: list[np.ndarray] = []
    left = list(views)
    with av.open(str(path)) as given:
        given.streams.video[0].thread_type = "AUTO"
        for index, frame in enumerate(given.decode(video=0)):
            if index in wanted:
                held[index] = frame.to_ndarray(format="rgb24")
            while left and index >= max(left[0].indices):
                clips.append(theirs.prepared([held[i] for i in left.pop(0).indices]))
                held = {i: f for i, f in held.items() if left and i >= min(left[0].indices)}
            if len(clips) >= theirs.batch_size:
                scores += theirs.answers(clips)
                clips = []
    return np.stack(scores + theirs.answers(clips))


def anew(path: Path, views: Sequence[View], times: np.ndarray, theirs: Theirs) -> np.ndarray:
    """Open the film, seek and decode for every window."""
    scores = []
    for view in views:
        held: dict[int, np.ndarray] = {}
        with av.open(str(path)) as given:
            stream = given.streams.video[0]
            stream.thread_type = "AUTO"
            begin = (stream.start_time or 0) * stream.time_base
            given.seek(int((times[view.indices[0]] + begin) / stream.time_base), stream=stream)
            for frame in given.decode(stream):
                index = int(np.abs(times - (frame.time - float(begin))).argmin())
                if index in view.indices:
                    held[index] = frame.to_ndarray(format="rgb24")
                if index >= max(view.indices):
                    break
        scores += theirs.answers([theirs.prepared([held[i] for i in view.indices])])
    return np.stack(scores)


def timed(run: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Seconds on the clock, seconds of processor time with children, and the scores."""
    begin, before = time.perf_counter(), _processor()
    scores = run()
    return time.perf_counter() - begin, _processor() - before, scores


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Make film and model, run the three ways, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=1)
    wanted = parser.parse_args()
    torch.manual_seed(0)
    shape = TimeSformerConfig(width=wanted.width, depth=wanted.depth, heads=wanted.width // 64)
    model = TimeSformer(shape).eval()
    for parameter in model.parameters():
        if not parameter.any():  # what starts at zero would hide mistakes
            torch.nn.init.normal_(parameter, std=0.02)
    clip = ClipConfig(short_side=224, crop=224, mean=MEAN, std=STD)
    classifier = Classifier(model, clip, tuple(f"class {k}" for k in range(400)))
    theirs = Theirs(hugging_face(model), 224, wanted.batch_size)
    runtime = vidattn.Runtime(device="cpu", precision="fp32", batch_size=wanted.batch_size)
    noise = torch.randn(1, 3, 8, 224, 224)
    with torch.no_grad():
        off = (
            theirs.model(noise.transpose(1, 2)).logits - Scorer(classifier, runtime)(list(noise))[0]
        )
    path = film(wanted.minutes)
    with vidattn.open_video(path) as video:
        times, length = video.times, video.duration
    print(
        f"{wanted.minutes:g} min of 1280x720 H.264, width {wanted.width}, depth {wanted.depth}, "
        f"fp32, {torch.get_num_threads()} threads"
    )
    print(f"logits of one clip differ by {off.abs().max():.1e}")
    for overlap in (0.0, 0.5):
        views = plan_windows(times, Window(0.0, length), clip, overlap=overlap).views
        ways = {
            "vidattn": lambda o=overlap: (
                vidattn.segment(path, classifier, overlap=o, runtime=runtime).scores
            ),
            "once": lambda v=views: once(path, v, theirs),
            "anew": lambda v=views: anew(path, v, times, theirs),
        }
        rows = {name: timed(run) for name, run in ways.items()}
        clock, processor, scores = rows["vidattn"]
        for name, (seconds, cpu, found) in rows.items():
            agree = 100 * (found.argmax(1) == scores.argmax(1)).mean()
            print(
                f"overlap {100 * overlap:.0f} %, {len(views)} windows, {name:8} "
                f"clock {seconds:7.1f} s ({seconds / clock:.2f}x), "
                f"processor {cpu:7.1f} s ({cpu / processor:.2f}x), "
                f"same top-1 {agree:.1f} %, scores differ by {np.abs(found - scores).max():.1e}"
            )


if __name__ == "__main__":
    main()
