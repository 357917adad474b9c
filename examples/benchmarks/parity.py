"""How far are our logits from those of the code the weights come from, and how far is bfloat16?

    python examples/benchmarks/parity.py [--base] [--clips 1000]

Weights are values that anybody can draw again, by name. The official codes' logits for them are
stored beside the tests; Hugging Face's model runs here, in the same process. mmaction2's code does
not: its files hold the official tensors under other names, and are compared with the official
logits. --base adds the full-size models (minutes, 2 GB). bfloat16 is compared with our own float32,
on noise and, for motion-tiny, on generated clips with known motion.
"""

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vidattn import weights
from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.data.motion.dataset import validation_samples
from vidattn.evaluation.benchmark import hugging_face
from vidattn.models.fused import fuse
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import convert, key_maps

GOLDEN = Path(__file__).parents[2] / "tests" / "models" / "golden"
TINY = TimeSformerConfig(classes=10, frames=4, size=64, width=96, depth=3, heads=4, drop_path=0)
TINY_STAM = StamConfig(classes=10, frames=4, size=64, width=96, depth=3, heads=4, time_depth=2)


def values(empty: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an official state dict, drawn by name."""
    drawn = {}
    for name, like in empty.items():
        noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(like.shape)
        is_norm = like.ndim == 1 and name.endswith("weight")
        drawn[name] = torch.from_numpy(1 + 0.1 * noise if is_norm else 0.05 * noise)
    return {name: value.float() for name, value in drawn.items()}


def timesformer(config: TimeSformerConfig, layout: str) -> TimeSformer:
    """Read from a file's worth of tensors as `layout` names them."""
    with torch.device("meta"):
        expected = TimeSformer(config).state_dict()
        empty = key_maps.from_ours(expected, "official", config)
    ours = key_maps.to_ours(values(empty), "official", expected)
    theirs = key_maps.from_ours(ours, layout, config)
    return convert.build_timesformer(theirs, layout, Path("drawn"), config)


def stam_model(config: StamConfig) -> Stam:
    """Read from a file's worth of tensors, as the official code names them."""
    with torch.device("meta"):
        empty = key_maps.STAM.from_ours(Stam(config).state_dict())
    return key_maps.build_stam(values(empty), Path("drawn"), config)


def noise(shape: str) -> Tensor:
    """The input behind the stored logits: normal values, drawn with seed 0."""
    sizes = [int(size) for size in shape.split("x")]
    return torch.from_numpy(np.random.RandomState(0).standard_normal(sizes)).float()


def videos(shape: str, count: int) -> Tensor:
    """STAM's official input, [videos * frames, 3, H, W], as our clips."""
    frames = noise(shape)
    return frames.view(count, -1, *frames.shape[1:]).transpose(1, 2)


def apart(model: nn.Module, clips: Tensor, expected: Tensor) -> float:
    """Largest difference to stored logits: all of them [B, K], or the first eight of one clip."""
    found = model(clips)
    return (found[0, :8] if expected.ndim == 1 else found).sub(expected).abs().max().item()


def parity(full: bool) -> Iterator[tuple[str, str, float]]:
    """Layout, what was compared, largest absolute difference of a logit in float32."""
    golden = json.loads((GOLDEN / "timesformer.json").read_text())
    stams = json.loads((GOLDEN / "stam.json").read_text())
    for layout in ("official", "mmaction2"):
        for scheme in ("divided", "joint", "space"):
            model = timesformer(replace(TINY, attention=scheme), layout)
            rows = [apart(model, noise(s), torch.tensor(x)) for s, x in golden[scheme].items()]
            yield layout, f"{scheme}, tiny, {len(rows)} clip shapes", max(rows)
    for scheme in ("divided", "joint"):
        yield "Hugging Face", f"{scheme}, tiny", beside_hf(replace(TINY, attention=scheme))
    clips = videos("8x3x64x64", 2)
    yield "STAM", "tiny", apart(stam_model(TINY_STAM), clips, torch.tensor(stams["tiny"]))
    if full:
        small = TimeSformerConfig(frames=4, size=96, drop_path=0)
        yield "Hugging Face", "divided, ViT-B, 4 x 96", beside_hf(small)
        base, first = timesformer(TimeSformerConfig(), "official"), golden["base"]["first8"]
        clips = noise(golden["base"]["input"])
        yield "official", "divided, ViT-B, 8 x 224", apart(base, clips, torch.tensor(first))
        clips, first = videos(stams["full"]["input"], 1), stams["full"]["first8"]
        yield "STAM", "ViT-B, 16 x 224", apart(stam_model(StamConfig()), clips, torch.tensor(first))


def beside_hf(config: TimeSformerConfig) -> float:
    """Largest difference to the model of transformers, run here on the same clips."""
    model = timesformer(config, "hf")
    theirs, clips = hugging_face(model), noise(f"2x3x{config.frames}x{config.size}x{config.size}")
    if theirs is None:
        raise SystemExit("error: transformers is not installed\nhint: pip install transformers")
    return (model(clips) - theirs(clips.transpose(1, 2)).logits).abs().max().item()


def rounding(count: int, full: bool) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What was asked, logits in float32, logits in bfloat16: [clips, K] each."""
    for scheme in ("divided", "joint", "space"):
        model = timesformer(replace(TINY, attention=scheme), "official")
        yield f"{scheme}, tiny, noise", *both(model, noise("100x3x4x64x64"))
    if full:
        model = timesformer(TimeSformerConfig(frames=4, size=64, drop_path=0), "official")
        yield "divided, ViT-B, 4 x 64, noise", *both(model, noise("32x3x4x64x64"))
    yield "STAM, tiny, noise", *both(stam_model(TINY_STAM), videos("400x3x64x64", 100))
    motion = weights.load("motion-tiny")
    clips = torch.cat([batch.clips for batch in validation_samples(motion.clip, count, seed=7)])
    yield f"motion-tiny, {count:,} generated clips", *both(motion.model, clips)


def both(model: nn.Module, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [clips, K] in float32 and in bfloat16, as the commands compute them on a CPU."""
    forms = (fuse(model, dtype, pack=False) for dtype in (torch.float32, torch.bfloat16))
    exact, near = (torch.cat([form(some) for some in clips.split(16)]) for form in forms)
    return exact, near


@torch.inference_mode()
def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", action="store_true", help="the full-size models too")
    parser.add_argument("--clips", type=int, default=500, help="generated clips for motion-tiny")
    options = parser.parse_args()
    print(f"{'layout':<14}{'model':<32}{'max diff, fp32':>16}")
    for layout, what, difference in parity(options.base):
        print(f"{layout:<14}{what:<32}{difference:>16.1e}", flush=True)
    heads = f"{'max diff':>10}{'mean':>9}{'of range':>10}{'same top-1':>12}"
    print(f"\n{'bfloat16 beside float32':<36}{heads}")
    for what, exact, near in rounding(options.clips, options.base):
        difference, spread = (near - exact).abs(), (exact.max() - exact.min()).item()
        same = 100 * (near.argmax(-1) == exact.argmax(-1)).float().mean().item()
        print(
            f"{what:<36}{difference.max():>10.4f}{difference.mean():>9.4f}"
            f"{100 * difference.max() / spread:>8.2f} %{same:>10.2f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
