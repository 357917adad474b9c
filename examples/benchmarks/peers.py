"""One clip through a model: vidattn beside Hugging Face, ONNX Runtime and OpenVINO, in turns.

    python examples/benchmarks/peers.py                # ViT-B divided, 8 frames of 224 pixels
    python examples/benchmarks/peers.py --threads 1 2 --minutes 10 --folder EXPORTED
    python examples/benchmarks/peers.py --only bf16 int8 --folder EXPORTED
    python examples/benchmarks/peers.py --width 192 --depth 4 --rounds 3

All have the same random weights. The exported model is ours, through torch.onnx; OpenVINO reads the
same file. int8: ours with a range for each layer, which `--precision int8` takes where they agree
with float32, calibrated on noise, theirs as onnxruntime's dynamic quantisation and, where nncf is
installed, OpenVINO's static one, calibrated on noise, in bf16 elsewhere. bf16 is run where the
processor has it, Hugging Face's with weights in it. Exported files are kept in --folder and found
there again. One thread is timed by processor time, which other programs disturb less. What is not
installed is left out and named: pip install transformers onnx onnxscript onnxruntime openvino nncf.
"""

import argparse
import contextlib
import importlib.util
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

import vidattn
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.evaluation.benchmark import hugging_face
from vidattn.inference.scorer import Scorer
from vidattn.models.classifier import Classifier
from vidattn.models.fused import has_bf16_instructions
from vidattn.models.int8 import can_multiply_int8
from vidattn.models.timesformer import TimeSformer

Run = Callable[[torch.Tensor], np.ndarray]
"""Clips float32 [B, 3, T, H, W] to logits [B, K]."""
Make = Callable[[], Run]


def random_model(width: int, depth: int) -> TimeSformer:
    """Divided attention with 8 frames of 224 pixels and 400 classes, nothing left at zero."""
    torch.manual_seed(0)
    shape = TimeSformerConfig(width=width, depth=depth, heads=width // 64)
    model = TimeSformer(shape).eval()
    for parameter in model.parameters():
        if not parameter.any():  # what starts at zero would hide mistakes
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def ours(model: TimeSformer, precision: str) -> Run:
    """As the commands run it."""
    labels = tuple(map(str, range(model.config.classes)))
    runtime = vidattn.Runtime(device="cpu", precision=precision)
    scorer = Scorer(Classifier(model, ClipConfig(), labels), runtime)
    if precision == "int8":
        scorer, _ = scorer.calibrated([torch.randn(3, 8, 224, 224)])
    return lambda clips: torch.stack(scorer(list(clips))).numpy()


def theirs(model: TimeSformer, dtype: torch.dtype) -> Run:
    """Hugging Face's model, eager, in one dtype."""
    network = hugging_face(model)
    assert network is not None
    network.to(dtype)

    def run(clips: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return network(clips.transpose(1, 2).to(dtype)).logits.float().numpy()

    return run


def exported(model: TimeSformer, path: Path) -> Path:
    """The model as an ONNX file for one clip at a time, made unless it is there."""
    if path.exists():
        return path
    config = model.config
    clip = torch.randn(1, 3, config.frames, config.size, config.size)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (clip,),
            path,
            input_names=["clips"],
            output_names=["logits"],
            dynamo=True,
            verbose=False,
        )
    return path


def onnx_runtime(path: Path, threads: int) -> Run:
    """A session of ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda clips: np.concatenate(
        [session.run(None, {"clips": clip[None].numpy()})[0] for clip in clips]
    )


def onnx_int8(path: Path, target: Path) -> Path:
    """The exported model with weights in 8 bits, quantised as ONNX Runtime does on the fly."""
    if target.exists():
        return target
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    del model.graph.value_info[:]  # what the exporter says of shapes contradicts the quantiser
    quantize_dynamic(
        model, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
    )
    return target


def openvino(path: Path, threads: int, precision: str) -> Run:
    """A compiled model of OpenVINO; int8 by nncf."""
    import openvino as ov

    core, small = ov.Core(), path.with_name("int8.xml")
    if precision == "int8" and not small.exists():
        import nncf

        noise = [np.random.default_rng(i).normal(size=(1, 3, 8, 224, 224)) for i in range(4)]
        data = nncf.Dataset([clip.astype(np.float32) for clip in noise])
        kind = nncf.ModelType.TRANSFORMER
        ov.save_model(nncf.quantize(core.read_model(path), data, model_type=kind), small)
    model = core.read_model(small if precision == "int8" else path)
    low = precision == "bf16" or (precision == "int8" and has_bf16_instructions())
    hint = "bf16" if low else "f32"
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda clips: np.concatenate(
        [request.infer({0: clip[None].numpy()})[0].copy() for clip in clips]
    )


def ways(model: TimeSformer, threads: int, folder: Path) -> dict[str, tuple[list[str], Make]]:
    """What every way to run the model here needs, and what makes it; Hugging Face's first."""
    path, onnx = folder / "model.onnx", ["onnx", "onnxscript"]
    both = ["fp32", "bf16"] if has_bf16_instructions() else ["fp32"]
    found: dict[str, tuple[list[str], Make]] = {}
    for precision in both:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        found[f"Hugging Face {precision}"] = ["transformers"], partial(theirs, model, dtype)
    for precision in [*both, *(["int8"] if can_multiply_int8() else [])]:
        found[f"vidattn {precision}"] = [], partial(ours, model, precision)
    runtimes = {
        "fp32": lambda: exported(model, path),
        "int8": lambda: onnx_int8(exported(model, path), folder / "int8.onnx"),
    }
    for precision, make in runtimes.items():
        run = partial(lambda make: onnx_runtime(make(), threads), make)
        found[f"ONNX Runtime {precision}"] = [*onnx, "onnxruntime"], run
    for precision in [*both, "int8"]:
        needed = [*onnx, "openvino", *(["nncf"] if precision == "int8" else [])]
        run = partial(lambda p: openvino(exported(model, path), threads, p), precision)
        found[f"OpenVINO {precision}"] = needed, run
    return found


def there(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def measured(
    found: dict[str, Run], clip: torch.Tensor, exact: np.ndarray, rounds: int, seconds: float
) -> None:
    """Run all in turns, for so many rounds or seconds, and print a line for each."""
    logits = {name: run(clip) for name, run in found.items()}
    taken: dict[str, list[float]] = {name: [] for name in found}
    until = time.perf_counter() + seconds
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for _ in range(rounds):
        for name, run in found.items():
            begin = clock()
            run(clip)
            taken[name].append(clock() - begin)
        if time.perf_counter() > until:
            break
    first = next(iter(found))
    for name, times in taken.items():
        off = np.abs(logits[name] - exact).max()
        faster = statistics.median(a / b for a, b in zip(taken[first], times, strict=True))
        taken_here = f"{statistics.median(times):7.3f} s, least {min(times):.3f} s"
        print(
            f"  {name:18} {taken_here}, {faster:5.2f}x {first}, {len(times)} rounds, "
            f"logits differ from the plain model's by {off:.1e}"
        )


def main() -> None:
    """Make the model, every way to run it, and measure them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=10, help="at most, for each of --threads")
    parser.add_argument("--only", nargs="+", help="rows with one of these words, such as bf16")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--folder", type=Path, help="of exported models, kept there")
    wanted = parser.parse_args()
    model = random_model(wanted.width, wanted.depth)
    clip = torch.randn(1, 3, 8, 224, 224)
    with torch.inference_mode():
        exact = model(clip).numpy()
    with tempfile.TemporaryDirectory() as temporary:
        folder = wanted.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for threads in wanted.threads:
            torch.set_num_threads(threads)
            print(
                f"divided, 8 x 224, width {wanted.width}, depth {wanted.depth}, {threads} threads"
            )
            runs: dict[str, Run] = {}
            for name, (needed, make) in ways(model, threads, folder).items():
                missing = [package for package in needed if not there(package)]
                if missing:
                    print(f"  {name:18} not measured: {', '.join(missing)} not installed")
                elif not wanted.only or set(wanted.only) & set(name.split()):
                    runs[name] = make()
            measured(runs, clip, exact, wanted.rounds, 60 * wanted.minutes)


if __name__ == "__main__":
    main()
