"""Memory and time of very long clips: ViT-B, divided attention, 224 pixels, random weights.

    python examples/benchmarks/long_clip.py 1024            # one forward pass without gradients
    python examples/benchmarks/long_clip.py 256 --train     # one step with activation checkpointing
    python examples/benchmarks/long_clip.py 96 --explain rollout    # or relevance: where heat is

Prints the highest resident memory of the process and the seconds it took. A CPU needs minutes;
--blocks 1 shows the memory in a twelfth of the time: blocks run one after the other, and each adds
40 MB of weights (in training 120 MB, and its input: 0.6 MB for every frame; that also for heat).

Measured on two busy AVX2 cores: 1,024 frames forward peaked at 5.6 GB (1,152 s), a training step
with 256 frames at 7.6 GB (15 minutes of processor time).
"""

import argparse
import time

import torch

from vidattn.config import TimeSformerConfig
from vidattn.inference.profiling import peak_rss_mb
from vidattn.models.attribution import relevance, rollout
from vidattn.models.flops import count_macs
from vidattn.models.timesformer import TimeSformer


def main() -> None:
    """Make the model and a clip of noise, run them once, print a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("frames", type=int)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--explain", choices=("rollout", "relevance"))
    wanted = parser.parse_args()
    torch.manual_seed(0)
    config = TimeSformerConfig(frames=wanted.frames, depth=wanted.blocks)
    model = TimeSformer(config).train(wanted.train)
    model.activation_checkpointing = wanted.train
    clip = torch.randn(1, 3, wanted.frames, config.size, config.size)
    before, begin = peak_rss_mb(), time.perf_counter()
    with torch.set_grad_enabled(wanted.train):
        if wanted.explain == "rollout":
            rollout(model, clip)
        elif wanted.explain == "relevance":
            relevance(model, clip, torch.tensor([0]))
        else:
            logits = model(clip)
        if wanted.train:
            optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
            torch.nn.functional.cross_entropy(logits, torch.tensor([0])).backward()
            optimizer.step()
    seconds = time.perf_counter() - begin
    act = wanted.explain or ("training step" if wanted.train else "forward pass")
    print(
        f"{act} of {wanted.frames} frames through {wanted.blocks} blocks "
        f"({count_macs(config) / 1e12:.2f} T multiply-adds forward): "
        f"peak {peak_rss_mb() / 1e3:.1f} GB, of which {before / 1e3:.1f} GB model and clip; "
        f"{seconds:.0f} s on {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
