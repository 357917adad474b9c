"""Speed of a model on this machine, beside its plain form and that of Hugging Face.

Weights are random: speed does not depend on them, and nothing is downloaded. The variants run in
turns, so that other load on the machine affects all alike; medians are reported.
"""

from __future__ import annotations

import ctypes
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidattn.config import ClipConfig, ModelConfig
from vidattn.errors import UsageError
from vidattn.inference.scorer import Scorer, precision_of
from vidattn.io.files import exists
from vidattn.models.classifier import KINDS, VARIANTS, Classifier
from vidattn.models.device import Precision, Runtime, inference_mode
from vidattn.models.flops import count_macs
from vidattn.models.foreign import ExportedModel
from vidattn.models.fused import can_pack
from vidattn.models.fused_layers import FrozenLinear
from vidattn.models.int8 import Int8Linear, calibrate
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import catalog, key_maps, load
from vidattn.weights.model_card import shape_of

SIDE, GPU_SIDE = 2048, 8192
"""Side of the matrices whose product is the ceiling: larger ones are no faster on a CPU, while a
GPU is done with such as these before the next one is asked of it."""


@dataclass(frozen=True)
class Subject:
    """The model that is measured."""

    name: str
    config: ModelConfig
    parameters: int
    macs: int
    """Multiply-adds of one clip, before fusing."""
    batch_size: int
    device: str
    precision: Precision
    """Of the way that the commands take."""
    threads: int


@dataclass(frozen=True)
class Measurement:
    """One way to run the model."""

    way: str
    precision: Precision
    seconds: float
    """Median of one batch."""
    clips_per_second: float
    ceiling: float
    """Fraction of the speed at which this machine multiplied large matrices of the same precision
    in the same run; above 1 where fusing saves more than the rest costs."""
    memory_mb: float | None
    """Memory of one pass beyond the weights, in 1e6 bytes; None where unknown."""
    difference: float
    """Largest absolute difference of a logit from the plain model in float32."""


@dataclass
class _Runner:
    """A way to run the model: clips to logits on the CPU."""

    way: str
    precision: Precision
    run: Callable[[], Tensor]
    seconds: list[float] = field(default_factory=list)
    memory_mb: float | None = None
    logits: Tensor | None = None


def count_parameters(config: ModelConfig) -> int:
    """The number of parameters of a model."""
    with torch.device("meta"):
        model = _build(config)
    return sum(p.numel() for p in model.parameters())


def find_config(name: str) -> ModelConfig:
    """The config of a model in the catalog, a file or a folder. Raises WeightsError, and UsageError
    for a model that is not made from a config of ours alone."""
    if exists(Path(name)) or name == catalog.BUNDLED:
        model = load(name).model
        config = model.config
        if isinstance(model, ExportedModel) or not isinstance(config, ModelConfig):
            raise UsageError(
                f"{name}: is not a network of ours alone; random weights would measure another one",
                hint=f"for its speed on a video of yours: vidattn doctor VIDEO -m {name}",
            )
        return config
    entry = catalog.find_entry(name)
    if entry.attention in VARIANTS:
        return replace(shape_of(entry), size=VARIANTS[entry.attention].size)
    return shape_of(entry)


def benchmark(
    name: str,
    config: ModelConfig,
    *,
    frames: int | None = None,
    rounds: int = 5,
    runtime: Runtime = Runtime(),
) -> Iterator[Subject | Measurement]:
    """Measure a model of random weights: a Subject, then a Measurement for each way to run it.

    "vidattn" is how the commands run it, "compiled" the same with `--compile`, "plain" the model
    before fusing; "Hugging Face" is eager with the same weights, in float32 and, where vidattn is,
    in bfloat16, if transformers is installed and has the attention scheme. frames: clip length,
    that of the config by default.
    runtime: without a batch size, clips are scored one by one.
    """
    config = replace(config, frames=frames or config.frames)
    device, batch = runtime.torch_device(), runtime.batch_size or 1
    torch.manual_seed(0)
    model = _build(config).eval()
    for parameter in model.parameters():
        if not parameter.any():  # zeros would hide mistakes
            torch.nn.init.normal_(parameter, std=0.02)
    clips = torch.randn(batch, 3, config.frames, config.size, config.size)
    runtime, classifier = replace(runtime, batch_size=batch), _classifier(model, config)
    yield Subject(
        name,
        config,
        sum(p.numel() for p in model.parameters()),
        count_macs(config),
        batch,
        str(device),
        precision_of(classifier, runtime),
        torch.get_num_threads(),
    )
    with inference_mode(device, "fp32"):
        reference = model.to(device)(clips.to(device)).float().cpu()
    runners = _runners(classifier, clips, runtime)
    kinds = dict.fromkeys(runner.precision for runner in runners)
    products = {kind: _Runner("matrix product", kind, _product(device, kind)) for kind in kinds}
    for runner in runners:
        runner.memory_mb = _memory(runner, device)
    for _ in range(rounds):
        for runner in (*products.values(), *runners):
            begin = time.perf_counter()
            runner.run()
            runner.seconds.append(time.perf_counter() - begin)
    for runner in runners:
        assert runner.logits is not None
        seconds = statistics.median(runner.seconds)
        peak = side_of(device) ** 3 / statistics.median(products[runner.precision].seconds)
        yield Measurement(
            runner.way,
            runner.precision,
            seconds,
            len(clips) / seconds,
            len(clips) * count_macs(config) / seconds / peak,
            runner.memory_mb,
            (runner.logits - reference).abs().max().item(),
        )


def _build(config: ModelConfig) -> nn.Module:
    return next(build(config) for kind, build in KINDS.values() if type(config) is kind)


def _classifier(model: nn.Module, config: ModelConfig) -> Classifier:
    clip = ClipConfig(frames=config.frames, short_side=config.size, crop=config.size)
    return Classifier(model, clip, tuple(map(str, range(config.classes))))


def _runners(classifier: Classifier, clips: Tensor, runtime: Runtime) -> list[_Runner]:
    """All ways to run a model on this device, ours first."""
    model, device = classifier.model, runtime.torch_device()
    scorer = Scorer(classifier, runtime)
    ours, low = scorer.precision, scorer.precision == "bf16"
    if ours == "int8":
        scorer, _ = scorer.calibrated(list(clips))
    runners = [_Runner("vidattn", ours, lambda: torch.stack(scorer(list(clips))))]
    if runtime.compile:
        runners.append(_Runner("compiled", ours, _in_halves(scorer, clips)))
    if scorer.model is not model:
        kind: Precision = "bf16" if low else "fp32"
        runners.append(_Runner("plain", kind, _once(model, clips, device, kind)))
    kinds: tuple[Precision, ...] = ("fp32", "bf16") if low else ("fp32",)
    for kind in kinds:
        if (theirs := hugging_face(model)) is not None:
            dtype = torch.bfloat16 if kind == "bf16" else torch.float32
            network, given = theirs.to(device, dtype), clips.transpose(1, 2).to(dtype)
            run = _once(lambda x, network=network: network(x).logits, given, device, "fp32")
            runners.append(_Runner("Hugging Face", kind, run))
    return runners


def _in_halves(scorer: Scorer, clips: Tensor) -> Callable[[], Tensor]:
    """As for videos: first frame by frame, then clip by clip."""
    frames = list(clips.transpose(1, 2).flatten(0, 1))

    def run() -> Tensor:
        tokens = torch.stack(scorer.encode_frames(frames)).chunk(len(clips))
        return torch.stack(scorer.classify_frames(tokens))

    return run


def _once(
    model: Callable[..., Tensor], clips: Tensor, device: torch.device, precision: Precision
) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with inference_mode(device, precision):
            return model(clips.to(device)).float().cpu()

    return run


def hugging_face(model: nn.Module) -> nn.Module | None:
    """The same model from transformers, with the same weights; None where it has none."""
    if not isinstance(model, TimeSformer):
        return None
    config = model.config
    # Its space-only attention gives logits for every frame, not for the clip.
    known = config.attention in ("divided", "joint")
    if not known or (config.positions, config.order) != ("space-time", "time-space"):
        return None
    try:
        import transformers
    except ImportError:
        return None
    package: Any = transformers
    shape = package.TimesformerConfig(
        image_size=config.size,
        patch_size=config.patch,
        num_frames=config.frames,
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        intermediate_size=int(config.width * config.mlp_ratio),
        attention_type=f"{config.attention}_space_time",
        num_labels=config.classes,
    )
    theirs: nn.Module = package.TimesformerForVideoClassification(shape).eval()
    theirs.load_state_dict(key_maps.from_ours(model.state_dict(), "hf", config))
    return theirs


def side_of(device: torch.device) -> int:
    """Rows and columns of the matrices whose product is the ceiling."""
    return GPU_SIDE if device.type == "cuda" else SIDE


def _product(device: torch.device, precision: Precision) -> Callable[[], Tensor]:
    """A product of large square matrices, with the fastest kernel of torch here."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    side = side_of(device)
    linear = nn.Linear(side, side)
    x = torch.randn(side, side, device=device, dtype=dtype)
    weight, bias = linear.weight.detach().to(x), linear.bias.detach().to(x)
    kernels: list[Callable[[Tensor], Tensor]] = [lambda x: F.linear(x, weight, bias)]
    if precision == "int8":
        kernels = [calibrate(Int8Linear(linear), lambda layer: layer(x))]
    elif device.type == "cpu" and can_pack():
        kernels.append(FrozenLinear(linear, dtype, pack=True))

    def run(kernel: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.inference_mode():
            return kernel(x)[:1].cpu()  # waits for the device

    def seconds(kernel: Callable[[Tensor], Tensor]) -> float:
        run(kernel)
        begin = time.perf_counter()
        run(kernel)
        return time.perf_counter() - begin

    fastest = min(kernels, key=seconds)
    return lambda: run(fastest)


def _memory(runner: _Runner, device: torch.device) -> float | None:
    """Run once for the logits, once for the peak memory on top of the memory in use."""
    runner.logits = runner.run()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        runner.run()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    if device.type != "cpu" or sys.platform != "linux":
        return None
    try:
        _return_freed_memory()
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        resident = _status("VmRSS")
        runner.run()
        return (_status("VmHWM") - resident) / 1e3
    except (OSError, ValueError):
        return None


def _return_freed_memory() -> None:
    """Give back to the system what earlier passes have freed: it would hide what one pass needs."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _status(key: str) -> float:
    """A number of /proc/self/status, in units of 1000 bytes."""
    match = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if match is None:
        raise ValueError(key)
    return int(match[1]) * 1.024
