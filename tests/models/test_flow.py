"""Optical flow and its histograms."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from vidattn.config import FlowConfig
from vidattn.models.flow import LEVELS, FlowHistogram, estimate_flow


def moving(x: int, y: int, frames: int = 4, size: int = 64) -> torch.Tensor:
    """Smooth noise that moves by whole pixels: gray levels [1, T, size, size]."""
    coarse = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    large = 255 * F.interpolate(coarse, 2 * size, mode="bicubic")[0, 0]
    start = size // 2
    found = [
        large[start - y * t : start - y * t + size, start - x * t : start - x * t + size]
        for t in range(frames)
    ]
    return torch.stack(found)[None]


def as_clip(gray: torch.Tensor) -> torch.Tensor:
    """Normalized, [1, 3, T, H, W]."""
    return (gray / LEVELS)[:, None].expand(-1, 3, -1, -1, -1)


def test_flow_is_the_motion_in_pixels() -> None:
    flow = estimate_flow(moving(2, -1))
    assert flow.shape == (1, 3, 2, 64, 64)
    inside = flow[..., 8:-8, 8:-8]
    torch.testing.assert_close(
        inside.mean((0, 1, 3, 4)), torch.tensor([2.0, -1.0]), atol=0.1, rtol=0
    )
    assert inside.std() < 2


def test_a_histogram_says_where_and_which_way() -> None:
    gray = moving(0, 1)
    gray[:, :, :, 32:] = gray[:, :1, :, 32:]  # the right half is still
    model = FlowHistogram(FlowConfig(size=64, cells=2, directions=4))
    with torch.inference_mode():
        clip = as_clip(gray)
        cells = model.embeddings(clip).view(2, 2, 4)
        twice = model.embeddings(torch.cat([clip.flip(-1), clip]))
    assert cells[:, 0].argmax(1).tolist() == [1, 1]  # down
    assert cells[:, 0, 1].min() > 0.5
    assert cells[:, 1].max() < 0.1
    torch.testing.assert_close(twice[1], cells.flatten())


def test_still_clips_and_single_frames_have_no_motion() -> None:
    model = FlowHistogram(FlowConfig(size=32, cells=2))
    still = as_clip(moving(0, 0, size=32))
    assert not model.embeddings(still).any()
    assert not model.embeddings(still[:, :, :1]).any()


def test_low_precision_changes_nothing() -> None:
    model, clip = FlowHistogram(FlowConfig(cells=2)), as_clip(moving(1, 1))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.embeddings(clip)
    torch.testing.assert_close(found, model.embeddings(clip))
