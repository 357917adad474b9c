"""What overlapping clips share changes no logits, in any model and any form of it."""

import pytest
import torch
from torch import Tensor, nn

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.flops import count_frame_macs, count_macs
from vidattn.models.fused import fuse
from vidattn.models.protocols import FramewiseModel


def video(frames: int, height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(frames, 3, height, width, generator=torch.Generator().manual_seed(1))


def overlapping(frames: Tensor, length: int, stride: int) -> Tensor:
    """Windows [B, length, ...] over the rows of a film."""
    starts = range(0, len(frames) - length + 1, stride)
    return torch.stack([frames[start : start + length] for start in starts])


@pytest.mark.parametrize("form", ["plain", "folded"])
@pytest.mark.parametrize(
    "length, size", [(4, (64, 64)), (6, (32, 96))], ids=["trained", "another length and shape"]
)
@torch.inference_mode()
def test_overlapping_clips_have_the_logits_of_clips_computed_alone(
    model: nn.Module, form: str, length: int, size: tuple[int, int]
) -> None:
    model = fuse(model) if form == "folded" else model
    assert isinstance(model, FramewiseModel)
    film = video(10, *size)
    # In uneven pieces: what is computed of a frame does not depend on its neighbours.
    tokens = torch.cat([model.encode_frames(piece) for piece in film.split([1, 6, 3])])
    assert len(tokens) == 10
    shared = model.classify_frames(overlapping(tokens, length, 2))
    plain = model(overlapping(film, length, 2).transpose(1, 2))
    torch.testing.assert_close(shared, plain, rtol=0, atol=2e-6)


@torch.inference_mode()
def test_sharing_in_bf16_moves_logits_no_more_than_its_rounding(model: nn.Module) -> None:
    fast = fuse(model, torch.bfloat16, pack=False)
    assert isinstance(fast, FramewiseModel)
    film = video(6)
    tokens = torch.cat([fast.encode_frames(frame[None]) for frame in film])
    assert tokens.dtype == torch.float32
    shared = fast.classify_frames(overlapping(tokens, 4, 2))
    clips = overlapping(film, 4, 2).transpose(1, 2)
    exact = model(clips)
    rounding = (fast(clips) - exact).abs().max()
    assert (shared - exact).abs().max() <= 1.5 * rounding


@torch.inference_mode()
def test_tokens_of_a_frame_are_all_that_a_clip_knows_of_it(model: nn.Module) -> None:
    assert isinstance(model, FramewiseModel)
    film = video(4)
    tokens = model.encode_frames(film)
    other = torch.cat([tokens[:3], model.encode_frames(2 * film[3:])])
    logits = model.classify_frames(tokens[None])
    assert (model.classify_frames(other[None]) - logits).abs().max() > 1e-5


@pytest.mark.parametrize(
    "config, share",
    [
        (StamConfig(), 0.998),
        (TimeSformerConfig("space"), 1.0),
        (TimeSformerConfig("divided"), 0.0047),
        (TimeSformerConfig("joint"), 0.0051),
    ],
    ids=["stam", "space", "divided", "joint"],
)
def test_the_share_that_overlapping_clips_pay_once(
    config: TimeSformerConfig | StamConfig, share: float
) -> None:
    assert config.frames * count_frame_macs(config) / count_macs(config) == pytest.approx(
        share, abs=2e-4
    )
