"""Preprocessing of decoded frames to a clip: resize, crop, normalize.

Frames are uint8 [T, H, W, 3], RGB; a clip is float32 [3, T, H, W].

How this agrees with published preprocessing:

- The official code resizes normalized floats, bilinear, `align_corners=False`, not antialiased.
  Resizing is linear and its weights sum to 1, so it commutes with normalizing: `resize(...,
  antialias=False)` followed by `normalize` equals it to float rounding.
- The processors published with the Hugging Face weights resize 8-bit images with Pillow's
  antialiased bilinear filter. `resize` stays within one gray level of it by default.
- Readers resize while they decode, which is several times cheaper; `eval_clip` then leaves the
  pixels alone.

Without antialiasing, detail finer than the target grid folds into false patterns that depend on the
source resolution. So the default is antialiased, and the official way is one argument away.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from vidattn.config import ClipConfig
from vidattn.types import Crop

Frames = NDArray[np.uint8]


def official_scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) after the shorter one becomes `short_side`, as the official code computes it.

    Its float division may round the longer side one pixel further down than `video.target_size`:
    854x392 becomes 243x112, not 244x112.
    """
    if height <= width:
        return short_side, math.floor(width / height * short_side)
    return math.floor(height / width * short_side), short_side


def resize(clip: Tensor, short_side: int, *, antialias: bool = True) -> Tensor:
    """Bilinear resize so that the shorter side is `short_side`; the same object when it already is.

    clip: float [3, T, H, W], any value range. Returns float [3, T, H', W'].
    """
    height, width = clip.shape[2:]
    if min(height, width) == short_side:
        return clip
    size = official_scaled_size(height, width, short_side)
    frames = rearrange(clip, "c t h w -> t c h w")
    frames = F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=antialias)
    return rearrange(frames, "t c h w -> c t h w")


def crop(clip: Tensor, size: int, where: Crop = "center") -> Tensor:
    """Cut a square out of [3, T, H, W]: returns a view [3, T, size, size].

    "start" and "stop" are left and right of a wide clip, top and bottom of a tall one; the other
    axis is centered, and a center between two pixels takes the later one (official code).
    Raises ValueError when the clip is smaller than `size`.
    """
    height, width = clip.shape[2:]
    if min(height, width) < size:
        raise ValueError(f"cannot cut {size}x{size} out of {width}x{height}")
    top, left = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    if where != "center":
        if width >= height:
            left = 0 if where == "start" else width - size
        else:
            top = 0 if where == "start" else height - size
    return clip[:, :, top : top + size, left : left + size]


def normalize(clip: Tensor, config: ClipConfig) -> Tensor:
    """From RGB in [0, 255] to (x / 255 - mean) / std in the channel order of the weights."""
    if config.channels == "bgr":
        clip = clip.flip(0)
    mean = torch.tensor(config.mean, dtype=clip.dtype, device=clip.device)[:, None, None, None]
    std = torch.tensor(config.std, dtype=clip.dtype, device=clip.device)[:, None, None, None]
    return (clip / 255 - mean) / std


def to_clip(frames: Frames) -> Tensor:
    """uint8 [T, H, W, 3] to float32 [3, T, H, W] in [0, 255]."""
    return rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> c t h w").float()


def eval_clip(
    frames: Frames, config: ClipConfig, where: Crop = "center", *, antialias: bool = True
) -> Tensor:
    """Test-time preprocessing: uint8 [T, H, W, 3] to float32 [3, T, crop, crop]."""
    clip = resize(to_clip(frames), config.short_side, antialias=antialias)
    return normalize(crop(clip, config.crop, where), config)


def train_clip(
    frames: Frames,
    config: ClipConfig,
    generator: np.random.Generator,
    short_side_range: tuple[int, int] = (256, 320),
    *,
    flip: bool = True,
) -> Tensor:
    """Training augmentation of the official recipes: uint8 [T, H, W, 3] to [3, T, crop, crop].

    The short side is drawn from its range, both ends included; the crop is anywhere; with `flip`
    every second clip is mirrored. All frames of a clip are treated alike.
    """
    least, most = short_side_range
    short_side = max(int(generator.integers(least, most + 1)), config.crop)
    clip = resize(to_clip(frames), short_side)
    top = int(generator.integers(0, clip.shape[2] - config.crop + 1))
    left = int(generator.integers(0, clip.shape[3] - config.crop + 1))
    clip = clip[:, :, top : top + config.crop, left : left + config.crop]
    if flip and generator.random() < 0.5:
        clip = clip.flip(3)
    return normalize(clip, config)
