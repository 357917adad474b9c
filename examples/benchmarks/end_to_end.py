"""A film from file to scores: vidattn beside loops around other models, same windows, in turns.

    python examples/benchmarks/end_to_end.py                   # 1 minute of 720p, ViT-B divided
    python examples/benchmarks/end_to_end.py --minutes 10 --threads 1 2 --overlaps 0 0.5
    python examples/benchmarks/end_to_end.py FILM --minutes 2 --peers --rounds 3
    python examples/benchmarks/end_to_end.py --minutes 10 --peers --only auto bf16
    python examples/benchmarks/end_to_end.py --width 192 --depth 4
    python examples/benchmarks/end_to_end.py FILM --minutes 10 --model motion-tiny
    python examples/benchmarks/end_to_end.py --minutes 10 --keep FOLDER --at-most 60

Windows are 8 frames 32/30 s apart and weights random, or both as --model has them. The model is
written as `vidattn models export --layout hf` does, and what transformers makes of that folder runs
in float32 and, where the processor has it, in bfloat16: "once" decodes the film once with PyAV and
shows its windows, through Hugging Face's processor, to its model; "anew" opens, seeks, decodes and
prepares for each window. --peers: "once" with the exported model in ONNX Runtime and OpenVINO, too,
the latter in fp32, bf16 and (where nncf is installed) int8.

A line is printed as soon as a way has run: medians of the rounds so far, ratios and same top-1 to
the first way. --keep writes the figures of every run there and repeats none that it finds;
--at-most begins no run after so many minutes: so a long comparison can be had in pieces. "decoding"
is the share of the time in which frames were being read (vidattn reads them beside the model).
Scores differ from the loops' since vidattn's frames are resized while they are decoded, not after
(--precisions fp32 bf16 int8 are of one mind on that), and, where an odd number of pixels is to be
cropped, since Hugging Face's processor takes the odd one off another side than the official code:
with --crop official the loops crop like that, too. The film, H.264 with B-frames, is made once and
kept in the temporary folder. Needs transformers.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from decoding import PIECE, encode, processor
from memory import repeat
from peers import Run, exported, onnx_runtime, openvino, ours, random_model, there
from transformers import TimesformerForVideoClassification, VideoMAEImageProcessor
from transformers.utils.logging import disable_progress_bar

import vidattn
from vidattn.config import ClipConfig
from vidattn.data.plan import Windowing, plan_windows
from vidattn.data.transforms import crop
from vidattn.models.classifier import Classifier
from vidattn.models.fused import has_bf16_instructions
from vidattn.types import View, Window
from vidattn.weights.export import save_hf

MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
H264 = {"preset": "veryfast", "bf": "3", "g": "150"}
CLIP = ClipConfig(short_side=224, crop=224, mean=MEAN, std=STD)


@dataclass(frozen=True)
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

    def add(self, run: Callable[[], Answer], kept: Path | None) -> None:
        """One round, or what is kept of it."""
        if kept is None or not kept.exists():
            begin, before = time.perf_counter(), processor()
            self.answer = run()
            self.clock.append(time.perf_counter() - begin)
            self.processor.append(processor() - before)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                taken = [self.clock[-1], self.processor[-1], self.answer.decoding]
                part = kept.with_suffix(".part.npz")
                np.savez(part, taken=taken, scores=self.answer.scores)
                part.replace(kept)
            return
        with np.load(kept) as found:
            clock, used, decoding = found["taken"].tolist()
            self.answer = Answer(found["scores"], decoding)
        self.clock.append(clock)
        self.processor.append(used)


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


@dataclass(frozen=True)
class Exported:
    """A model as Hugging Face has it, and what its processor is told."""

    folder: Path
    crop: str
    """"theirs", or "official": where the rest is odd, a pixel later than Hugging Face crops."""
    size: int
    temperature: float


class Loop:
    """Windows through Hugging Face's processor to a model, `batch_size` at a time."""

    def __init__(self, run: Run, model: Exported, batch_size: int) -> None:
        self.run, self.model, self.batch_size = run, model, batch_size
        self.prepare = VideoMAEImageProcessor.from_pretrained(
            model.folder, do_center_crop=model.crop == "theirs"
        )
        self.clips: list[torch.Tensor] = []
        self.scores: list[np.ndarray] = []

    def show(self, frames: Sequence[np.ndarray]) -> None:
        """Frames uint8 [H, W, 3] of the next window."""
        clip = self.prepare(list(frames), return_tensors="pt")["pixel_values"].transpose(1, 2)
        self.clips.append(crop(clip[0], self.model.size)[None])
        if len(self.clips) == self.batch_size:
            self.flush()

    def flush(self) -> None:
        """Answer what has been shown."""
        if self.clips:
            logits = torch.from_numpy(self.run(torch.cat(self.clips)))
            self.scores += list((logits / self.model.temperature).softmax(-1).numpy())
            self.clips = []


def theirs(model: Exported, dtype: torch.dtype = torch.float32) -> Run:
    """What transformers makes of an exported folder, eager, in one dtype."""
    network = TimesformerForVideoClassification.from_pretrained(model.folder).eval().to(dtype)

    def run(clips: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return network(clips.transpose(1, 2).to(dtype)).logits.float().numpy()

    return run


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


def peers(
    model: torch.nn.Module, threads: int, folder: Path, only: Sequence[str] | None
) -> Iterator[tuple[str, Run]]:
    """The exported model in ONNX Runtime and OpenVINO, where they are installed and asked for."""
    path = exported(model, folder / "model.onnx")
    makes: dict[str, Callable[[], Run]] = {}
    if there("onnxruntime"):
        makes["ONNX Runtime, once"] = partial(onnx_runtime, path, threads)
    if there("openvino"):
        low = ["bf16"] * has_bf16_instructions() + ["int8"] * there("nncf")
        for precision in ["fp32", *low]:
            makes[f"OpenVINO {precision}, once"] = partial(openvino, path, threads, precision)
    yield from ((name, make()) for name, make in makes.items() if asked(name, only))


def asked(name: str, only: Sequence[str] | None) -> bool:
    """Whether a way has one of the words of --only."""
    return not only or bool(set(only) & set(re.split(r"\W+", name)))


def chosen(wanted: argparse.Namespace) -> Classifier:
    """The model named, or one of random weights."""
    if wanted.model is None:
        model = random_model(wanted.width, wanted.depth)
        return Classifier(model, CLIP, tuple(f"class {k}" for k in range(400)))
    classifier = vidattn.load(wanted.model)
    if classifier.clip.channels != "rgb":
        raise SystemExit(f"{wanted.model}: wants BGR, which Hugging Face's processor does not give")
    return classifier


@dataclass(frozen=True)
class Case:
    """A part of a film, a model, and how to run both."""

    path: Path
    end: float
    classifier: Classifier
    exported: Exported
    others: dict[str, Run]
    precisions: Sequence[str]
    batch_size: int
    overlap: float

    def ways(self) -> dict[str, Callable[[], Answer]]:
        """Every way from file to scores; the first is what ratios are to."""
        with vidattn.open_video(self.path) as video:
            times = video.times
        part, clip = Window(0.0, self.end), self.classifier.clip
        views = plan_windows(times, part, clip, Windowing(overlap=self.overlap)).views
        found: dict[str, Callable[[], Answer]] = {}
        for precision in self.precisions:
            runtime = vidattn.Runtime("cpu", precision, self.batch_size)
            found[f"vidattn {precision}"] = partial(
                segmented, self.path, self.classifier, self.end, self.overlap, runtime
            )
        hf = theirs(self.exported)
        best = {"Hugging Face, once": hf}
        if has_bf16_instructions():
            best["Hugging Face bf16, once"] = theirs(self.exported, torch.bfloat16)
        for name, run in {**best, **self.others}.items():
            found[name] = lambda r=run: once(
                self.path, views, Loop(r, self.exported, self.batch_size)
            )
        found["Hugging Face, anew"] = lambda: anew(
            self.path, views, times, Loop(hf, self.exported, 1)
        )
        return found


@dataclass(frozen=True)
class Turns:
    """How often, how long, and where figures are kept."""

    rounds: int
    until: float
    keep: Path | None

    def run(self, ways: dict[str, Callable[[], Answer]], key: str) -> None:
        """Run all in turns and print a line after each; ratios are to the first."""
        rows = {name: Row() for name in ways}
        first = next(iter(rows.values()))
        for number in range(self.rounds):
            for name, run in ways.items():
                slug = re.sub(r"[^\w.]+", "-", f"{key} {name} {number}.npz")
                kept = self.keep and self.keep / slug
                if time.perf_counter() > self.until and not (kept and kept.exists()):
                    print(f"  {name:24} not begun: no time left", flush=True)
                    continue
                rows[name].add(run, kept)
                if first.answer is not None:
                    print(f"  {name:24} {said(rows[name], first)}", flush=True)


def said(row: Row, first: Row) -> str:
    """What a way took, and how it compares."""
    clock, used = statistics.median(row.clock), statistics.median(row.processor)
    one, mine = row.answer, first.answer
    return (
        f"{len(one.scores)} windows, "
        f"clock {clock:7.1f} s ({clock / statistics.median(first.clock):.2f}x), "
        f"processor {used:7.1f} s ({used / statistics.median(first.processor):.2f}x), "
        f"decoding {100 * one.decoding / row.clock[-1]:.0f} %, "
        f"same top-1 {100 * (one.scores.argmax(1) == mine.scores.argmax(1)).mean():.1f} %, "
        f"scores differ by {np.abs(one.scores - mine.scores).max():.1e}"
    )


def main() -> None:
    """Make or find film and model, run all ways in turns, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("film", type=Path, nargs="?", help="by default one that is made")
    parser.add_argument("--minutes", type=float, default=1, help="of film to look at")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--overlaps", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--precisions", nargs="+", default=["auto", "fp32", "int8"])
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--folder", type=Path, help="of the models exported for peers, kept there")
    parser.add_argument("--only", nargs="+", help="ways with one of these words, such as auto bf16")
    parser.add_argument("--model", help="a name, file or folder, in place of random weights")
    parser.add_argument("--crop", choices=["theirs", "official"], default="theirs")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of figures, to go on from")
    parser.add_argument("--at-most", type=float, default=float("inf"), metavar="MINUTES")
    wanted = parser.parse_args()
    turns = Turns(wanted.rounds, time.perf_counter() + 60 * wanted.at_most, wanted.keep)
    classifier = chosen(wanted)
    path = wanted.film or film(wanted.minutes)
    with vidattn.open_video(path) as video:
        facts = video.details
    end = min(60 * wanted.minutes, facts.duration)
    what = wanted.model or f"width {wanted.width} depth {wanted.depth}"
    key = f"{path.stem}, {end:g} s of {facts.width}x{facts.height} {facts.codec}, {what}, " + (
        f"crop {wanted.crop}, batch {wanted.batch_size}"
    )
    print(key)
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        size, temperature = classifier.clip.crop, classifier.temperature
        model = Exported(save_hf(classifier, Path(folder, "hf")), wanted.crop, size, temperature)
        clip = torch.randn(1, 3, classifier.clip.frames, size, size)
        off = np.abs(theirs(model)(clip) - ours(classifier.model, "fp32")(clip)).max()
        print(f"logits of one clip in fp32 differ from Hugging Face's by {off:.1e}", flush=True)
        for threads in wanted.threads:
            torch.set_num_threads(threads)
            kept = wanted.folder or Path(folder)
            given = classifier.model, threads, kept, wanted.only
            others = dict(peers(*given)) if wanted.peers else {}
            for overlap in wanted.overlaps:
                case = Case(
                    *(path, end, classifier, model, others),
                    *(wanted.precisions, wanted.batch_size, overlap),
                )
                print(f"overlap {100 * overlap:g} %, {threads} threads", flush=True)
                ways = {n: run for n, run in case.ways().items() if asked(n, wanted.only)}
                turns.run(ways, f"{key} {threads} {overlap}")


if __name__ == "__main__":
    main()
