"""ViT-B with divided attention on a GPU: speed, share of the ceiling, memory.

    python examples/benchmarks/gpu.py                       # 8x224, 16x448, 96x224, 1024x224
    python examples/benchmarks/gpu.py --device cpu --width 64 --depth 2 --shapes 8x224 --rounds 1

A line for each way to run the model: as the commands do, compiled, plain, and Hugging Face's in
float32 and bfloat16 (needs transformers). Windows are scored --batch-size at a time; the ceiling is
the product of large matrices of the same precision, measured between the runs. The last line is a
training step on --clips drawn clips in the precision of the first one, without the time it takes to
draw them; a step counts as three forward passes. What does not fit into memory is named.
"""

import argparse
from dataclasses import replace

import torch

from vidattn.config import ClipConfig, OptimConfig, TimeSformerConfig
from vidattn.config.recipes import MOTION_TINY
from vidattn.errors import VidattnError
from vidattn.evaluation.benchmark import Measurement, benchmark
from vidattn.models.device import Runtime
from vidattn.models.flops import count_macs
from vidattn.training.benchmark import step_times


def print_shape(shape: str, wanted: argparse.Namespace) -> None:
    """A line for each way to run clips of one shape, such as 96x224, and for training."""
    frames, size = map(int, shape.split("x"))
    heads = max(wanted.width // 64, 1)
    config = TimeSformerConfig(
        frames=frames, size=size, width=wanted.width, depth=wanted.depth, heads=heads
    )
    runtime = Runtime(wanted.device, batch_size=wanted.batch_size, compile=wanted.compile)
    rows: list[Measurement] = []
    try:
        for event in benchmark(shape, config, rounds=wanted.rounds, runtime=runtime):
            if isinstance(event, Measurement):
                rows.append(event)
                memory = "-" if event.memory_mb is None else f"{event.memory_mb:,.0f} MB"
                print(
                    f"{shape:>9} {event.way:<13}{event.precision:<5}"
                    f"{event.clips_per_second:9.3g} windows/s{100 * event.ceiling:5.0f} % of peak"
                    f"{memory:>12}, logits off by {event.difference:.1e}",
                    flush=True,
                )
        print_training(shape, config, rows[0], wanted)
    except (VidattnError, RuntimeError) as error:  # a shape too large leaves the others
        print(f"{shape:>9} not measured: {str(error).splitlines()[0]}", flush=True)


def print_training(
    shape: str, config: TimeSformerConfig, scored: Measurement, wanted: argparse.Namespace
) -> None:
    """A line for a training step; scored: the first way to run the model, which saw the ceiling."""
    peak = scored.clips_per_second * count_macs(config) / scored.ceiling
    recipe = replace(
        MOTION_TINY,
        model=config,
        clip=ClipConfig(frames=config.frames, short_side=config.size, crop=config.size),
        optim=OptimConfig(batch_size=wanted.clips, epochs=1, precision=scored.precision),
        data=replace(
            MOTION_TINY.data, clips_per_epoch=(wanted.rounds + 1) * wanted.clips, workers=0
        ),
    )
    on_gpu = torch.device(wanted.device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(wanted.device)
    times = step_times(recipe, None, device=wanted.device, rounds=wanted.rounds)
    seconds = sum(taken for phase, taken in times.seconds.items() if phase != "data")
    memory = f"{torch.cuda.max_memory_allocated(wanted.device) / 1e6:,.0f} MB" if on_gpu else "-"
    work = 3 * times.clips * count_macs(config)
    print(
        f"{shape:>9} {'training':<13}{scored.precision:<5}"
        f"{times.clips / seconds:9.3g} clips/s  {100 * work / seconds / peak:5.0f} % of peak"
        f"{memory:>12}, {times.clips} clips a step",
        flush=True,
    )


def main() -> None:
    """Measure every shape."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", nargs="+", default=["8x224", "16x448", "96x224", "1024x224"])
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--clips", type=int, default=8, help="in a training step")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--compile", action="store_true")
    wanted = parser.parse_args()
    for shape in wanted.shapes:
        print_shape(shape, wanted)


if __name__ == "__main__":
    main()
