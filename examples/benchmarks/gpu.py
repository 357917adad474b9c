"""ViT-B with divided attention on a GPU: speed, share of the ceiling, memory.

    python examples/benchmarks/gpu.py                       # 8x224, 16x448, 96x224, 1024x224
    python examples/benchmarks/gpu.py --device cpu --width 64 --depth 2 --shapes 8x224 --rounds 1

A line for each way to run the model: as the commands do, compiled, plain, and Hugging Face's in
float32 and bfloat16 (needs transformers). Windows are scored --batch-size at a time; the ceiling is
the product of large matrices of the same precision, measured between the runs. What does not fit
into memory is named. A training step: vidattn bench --train --dataset motion --device cuda.
"""

import argparse

from vidattn.config import TimeSformerConfig
from vidattn.errors import VidattnError
from vidattn.evaluation.benchmark import Measurement, benchmark
from vidattn.models.device import Runtime


def print_shape(shape: str, wanted: argparse.Namespace) -> None:
    """A line for each way to run clips of one shape, such as 96x224."""
    frames, size = map(int, shape.split("x"))
    heads = max(wanted.width // 64, 1)
    config = TimeSformerConfig(
        frames=frames, size=size, width=wanted.width, depth=wanted.depth, heads=heads
    )
    runtime = Runtime(wanted.device, batch_size=wanted.batch_size, compile=wanted.compile)
    try:
        for event in benchmark(shape, config, rounds=wanted.rounds, runtime=runtime):
            if isinstance(event, Measurement):
                memory = "-" if event.memory_mb is None else f"{event.memory_mb:,.0f} MB"
                print(
                    f"{shape:>9} {event.way:<13}{event.precision:<5}"
                    f"{event.clips_per_second:9.3g} windows/s{100 * event.ceiling:5.0f} % of peak"
                    f"{memory:>12}, logits off by {event.difference:.1e}",
                    flush=True,
                )
    except (VidattnError, RuntimeError) as error:  # a shape too large leaves the others
        print(f"{shape:>9} not measured: {str(error).splitlines()[0]}", flush=True)


def main() -> None:
    """Measure every shape."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", nargs="+", default=["8x224", "16x448", "96x224", "1024x224"])
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--compile", action="store_true")
    wanted = parser.parse_args()
    for shape in wanted.shapes:
        print_shape(shape, wanted)


if __name__ == "__main__":
    main()
