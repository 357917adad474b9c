"""Preprocessing agrees with the published one, by its formula and by its peers' code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from vidattn.config import ClipConfig
from vidattn.data import transforms

META = ClipConfig(frames=2, short_side=48, crop=48)


def noise(height: int = 90, width: int = 130, frames: int = 2) -> np.ndarray:
    """Smooth random frames, so that resizing filters can agree: uint8 [frames, H, W, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (frames, 9, 13, 3), np.uint8)
    big = F.interpolate(
        torch.from_numpy(coarse).permute(0, 3, 1, 2).float(), (height, width), mode="bilinear"
    )
    return big.permute(0, 2, 3, 1).numpy().astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(90, 130), (130, 90), (64, 64), (49, 200)])
def test_the_official_preprocessing_is_reproduced_to_rounding(height: int, width: int) -> None:
    frames = noise(height, width)
    normalized = (torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 255 - 0.45) / 0.225
    if width <= height:
        size = (math.floor(height / width * 48), 48)
    else:
        size = (48, math.floor(width / height * 48))
    resized = F.interpolate(normalized, size, mode="bilinear", align_corners=False)
    top, left = math.ceil((size[0] - 48) / 2), math.ceil((size[1] - 48) / 2)
    expected = resized[:, :, top : top + 48, left : left + 48]
    clip = transforms.eval_clip(frames, META, antialias=False)
    torch.testing.assert_close(clip, expected, atol=1e-5, rtol=0)


def test_the_antialiased_resize_is_within_one_gray_level_of_pillow() -> None:
    frames = noise()
    ours = transforms.resize(transforms.to_clip(frames), 48)[:, 0].permute(1, 2, 0).numpy()
    pillow = np.asarray(Image.fromarray(frames[0]).resize((69, 48), Image.Resampling.BILINEAR))
    assert ours.shape == pillow.shape
    assert np.abs(ours - pillow.astype(np.float32)).max() <= 1.0


def test_the_clip_equals_that_of_the_hugging_face_processor_within_one_gray_level() -> None:
    transformers = pytest.importorskip("transformers", reason="the test peer is not installed")
    processor = transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 48},
        crop_size={"height": 48, "width": 48},
        image_mean=[0.45] * 3,
        image_std=[0.225] * 3,
        resample=Image.Resampling.BILINEAR,
    )
    frames = noise(90, 120)
    theirs = processor(list(frames), return_tensors="pt")["pixel_values"][0]
    ours = transforms.eval_clip(frames, META).permute(1, 0, 2, 3)
    gray_level = 1 / 255 / 0.225
    assert (ours - theirs).abs().max() <= 1.01 * gray_level


def test_frames_of_the_right_size_are_only_normalized() -> None:
    frames = noise(48, 48)
    clip = transforms.eval_clip(frames, META)
    expected = (frames.transpose(3, 0, 1, 2) / 255 - 0.45) / 0.225
    np.testing.assert_allclose(clip.numpy(), expected, atol=1e-5)


def test_blue_comes_first_for_weights_trained_that_way() -> None:
    frames = np.zeros((1, 48, 48, 3), np.uint8)
    frames[..., 0] = 255
    clip = transforms.eval_clip(
        frames, ClipConfig(frames=1, short_side=48, crop=48, channels="bgr")
    )
    assert clip[2].min() > 0 > clip[0].max()


@pytest.mark.parametrize(("shape", "axis"), [((8, 20), 1), ((20, 8), 0)])
def test_the_three_crops_lie_along_the_longer_side(shape: tuple[int, int], axis: int) -> None:
    ramp = torch.arange(20.0).expand(8, 20) if axis else torch.arange(20.0)[:, None].expand(20, 8)
    clip = ramp.expand(3, 1, *shape)
    first = {
        where: int(transforms.crop(clip, 8, where)[0, 0, 0, 0])
        for where in ("start", "center", "stop")
    }
    assert first == {"start": 0, "center": 6, "stop": 12}


def test_a_crop_larger_than_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot cut 9x9 out of 20x8"):
        transforms.crop(torch.zeros(3, 1, 8, 20), 9)


def test_training_mirrors_every_second_clip_and_never_when_told_not_to() -> None:
    ramp = np.broadcast_to(np.arange(48, dtype=np.uint8)[:, None], (1, 48, 48, 3))
    for flip, least, most in ((True, 31, 69), (False, 0, 0)):
        draws = (np.random.default_rng(seed) for seed in range(100))
        clips = [transforms.train_clip(ramp, META, rng, (48, 48), flip=flip) for rng in draws]
        assert least <= sum(bool(c[0, 0, 0, 0] > c[0, 0, 0, -1]) for c in clips) <= most
