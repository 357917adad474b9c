"""A film from file to scores: vidattn beside loops around other models, same windows, in turns.

    python examples/benchmarks/end_to_end.py                   # 1 minute of 720p, ViT-B divided
    python examples/benchmarks/end_to_end.py --minutes 10 --threads 1 2 --overlaps 0 0.5
    python examples/benchmarks/end_to_end.py FILM --minutes 2 --peers --rounds 3
    python examples/benchmarks/end_to_end.py --width 192 --depth 4

Windows are 8 frames 32/30 s apart. "once" decodes the film once with PyAV and shows its windows,
through Hugging Face's processor, to its model in float32; "anew" opens, seeks, decodes and prepares
for each window. --peers: "once" with the exported model in ONNX Runtime and OpenVINO, too. All have
the same random weights. Medians of --rounds; "decoding" is the share of the time in which frames
were being read (vidattn reads them beside the model). Scores differ from the loops' since vidattn's
frames are resized while they are decoded, not after; --precisions fp32 bf16 int8 are of one mind on
that. The film, H.264 with B-frames, is made once
and kept in the temporary folder. Needs transformers.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch
from decoding import PIECE, encode, processor
from memory import repeat
from peers import Run, exported, onnx_runtime, openvino, ours, random_model, theirs, there
from transformers import VideoMAEImageProcessor

import vidattn
from vidattn.config import ClipConfig
from vidattn.models.classifier import Classifier
from vidattn.plan import plan_windows
from vidattn.types import View, Window

MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
H264 = {"preset": "veryfast", "bf": "3", "g": "150"}
CLIP = ClipConfig(short_side=224, crop=224, mean=MEAN, std=STD)


@dataclass
class Answer:
    """What one way made of the film."""

    scores: np.ndarray
    decoding: float
    """Seconds in which frames were being read."""


@dataclass
class Row:
    """What one way took, round by round."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    answer: Answer | None = None

    def add(self, run: Callable[[], Answer]) -> None:
        """One round."""
        begin, before = time.perf_counter(), processor()
        self.answer = run()
        self.clock.append(time.perf_counter() - begin)
        self.processor.append(processor() - before)


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


class Loop:
    """A model with Hugging Face's processor, `batch_size` windows at a time."""

    def __init__(self, run: Run, batch_size: int) -> None:
        self.run, self.batch_size = run, batch_size
        self.prepare = VideoMAEImageProcessor(
            size={"shortest_edge": 224},
            crop_size={"height": 224, "width": 224},
            image_mean=MEAN,
            image_std=STD,
        )
        self.clips: list[torch.Tensor] = []
        self.scores: list[np.ndarray] = []

    def show(self, frames: Sequence[np.ndarray]) -> None:
        """Frames uint8 [H, W, 3] of the next window."""
        clip = self.prepare(list(frames), return_tensors="pt")["pixel_values"]
        self.clips.append(clip.transpose(1, 2))
        if len(self.clips) == self.batch_size:
            self.flush()

    def flush(self) -> None:
        """Answer what has been shown."""
        if self.clips:
            logits = torch.from_numpy(self.run(torch.cat(self.clips)))
            self.scores += list(logits.softmax(-1).numpy())
            self.clips = []


def once(path: Path, views: Sequence[View], loop: Loop) -> Answer:
    """Decode the film once, keeping the frames that windows still need."""
    wanted = {index for view in views for index in view.indices}
    held: dict[int, np.ndarray] = {}
    left, decoding, last = list(views), 0.0, max(wanted)
    with av.open(str(path)) as given:
        given.streams.video[0].thread_type = "AUTO"
        begin = time.perf_counter()
        for index, frame in enumerate(given.decode(video=0)):
            if index in wanted:
                held[index] = frame.to_ndarray(format="rgb24")
            decoding += time.perf_counter() - begin
            while left and index >= max(left[0].indices):
                loop.show([held[i] for i in left.pop(0).indices])
                held = {i: f for i, f in held.items() if left and i >= min(left[0].indices)}
            if index == last:
                break
            begin = time.perf_counter()
    loop.flush()
    return Answer(np.stack(loop.scores), decoding)


def anew(path: Path, views: Sequence[View], times: np.ndarray, loop: Loop) -> Answer:
    """Open the film, seek and decode for every window."""
    decoding = 0.0
    for view in views:
        held: dict[int, np.ndarray] = {}
        begin = time.perf_counter()
        with av.open(str(path)) as given:
            stream = given.streams.video[0]
            stream.thread_type = "AUTO"
            first = (stream.start_time or 0) * stream.time_base
            given.seek(int((times[view.indices[0]] + first) / stream.time_base), stream=stream)
            for frame in given.decode(stream):
                index = int(np.abs(times - (frame.time - float(first))).argmin())
                if index in view.indices:
                    held[index] = frame.to_ndarray(format="rgb24")
                if index >= max(view.indices):
                    break
        decoding += time.perf_counter() - begin
        loop.show([held[i] for i in view.indices])
    loop.flush()
    return Answer(np.stack(loop.scores), decoding)


def segmented(
    path: Path, classifier: Classifier, end: float, overlap: float, runtime: vidattn.Runtime
) -> Answer:
    """vidattn, as its command runs."""
    found = vidattn.segment(path, classifier, end=end, overlap=overlap, runtime=runtime)
    return Answer(found.scores, found.run["decode_s"])


def peers(model: torch.nn.Module, threads: int, folder: Path) -> Iterator[tuple[str, Run]]:
    """The exported model in ONNX Runtime and OpenVINO, where they are installed."""
    path = folder / "model.onnx"
    if not path.exists():
        exported(model, path)
    if there("onnxruntime"):
        yield "ONNX Runtime, once", onnx_runtime(path, threads)
    if there("openvino"):
        yield "OpenVINO, once", openvino(path, threads, "fp32")


def main() -> None:
    """Make film and model, run all ways in turns, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("film", type=Path, nargs="?", help="by default one that is made")
    parser.add_argument("--minutes", type=float, default=1, help="of film to look at")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--overlaps", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=1)
    wanted = parser.parse_args()
    model = random_model(wanted.width, wanted.depth)
    classifier = Classifier(model, CLIP, tuple(f"class {k}" for k in range(400)))
    path = wanted.film or film(wanted.minutes)
    with vidattn.open_video(path) as video:
        times, facts = video.times, video.facts
    end = min(60 * wanted.minutes, facts.duration)
    print(
        f"{end:g} s of {facts.width}x{facts.height} {facts.codec}, width {wanted.width}, "
        f"depth {wanted.depth}, batch {wanted.batch_size}"
    )
    clip = torch.randn(1, 3, 8, 224, 224)
    off = np.abs(theirs(model)(clip) - ours(model, "fp32")(clip)).max()
    print(f"logits of one clip in fp32 differ from Hugging Face's by {off:.1e}")
    with tempfile.TemporaryDirectory() as folder:
        for threads in wanted.threads:
            torch.set_num_threads(threads)
            others = dict(peers(model, threads, Path(folder))) if wanted.peers else {}
            for overlap in wanted.overlaps:
                views = plan_windows(times, Window(0.0, end), CLIP, overlap=overlap).views
                ways = {
                    f"vidattn {p}": lambda o=overlap, p=p: segmented(
                        path, classifier, end, o, vidattn.Runtime("cpu", p, wanted.batch_size)
                    )
                    for p in wanted.precisions
                }
                hf = theirs(model)
                for name, run in {"Hugging Face, once": hf, **others}.items():
                    ways[name] = lambda r=run, v=views: once(path, v, Loop(r, wanted.batch_size))
                ways["Hugging Face, anew"] = lambda r=hf, v=views: anew(path, v, times, Loop(r, 1))
                print(f"overlap {100 * overlap:g} %, {len(views)} windows, {threads} threads")
                compare(ways, wanted.rounds)


def compare(ways: dict[str, Callable[[], Answer]], rounds: int) -> None:
    """Run all in turns and print a line for each; ratios are to the first."""
    rows = {name: Row() for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            rows[name].add(run)
    first = next(iter(rows.values()))
    for name, row in rows.items():
        clock, used = statistics.median(row.clock), statistics.median(row.processor)
        one, mine = row.answer, first.answer
        print(
            f"  {name:20} clock {clock:7.1f} s ({clock / statistics.median(first.clock):.2f}x), "
            f"processor {used:7.1f} s ({used / statistics.median(first.processor):.2f}x), "
            f"decoding {100 * one.decoding / row.clock[-1]:.0f} %, "
            f"same top-1 {100 * (one.scores.argmax(1) == mine.scores.argmax(1)).mean():.1f} %, "
            f"scores differ by {np.abs(one.scores - mine.scores).max():.1e}"
        )


if __name__ == "__main__":
    main()
