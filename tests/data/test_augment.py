"""RandAugment treats the frames of a clip alike, and draws only from what it is given."""

import random

import numpy as np
import pytest

from vidattn.config.recipes import RECIPES
from vidattn.config.recipes.small import SMALL
from vidattn.config.serialization import apply_settings
from vidattn.data.augment import RandAugment, describe_augmentation, warn_of_mirroring

GRAY = (115, 115, 115)


@pytest.fixture(scope="module")
def augment() -> RandAugment:
    return RandAugment("rand-m9-n3-mstd0.5", GRAY)


def picture(seed: int = 0) -> np.ndarray:
    """uint8 [40, 60, 3] with smooth structure."""
    rows, columns = np.mgrid[:40, :60]
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    waves = np.sin(rows[..., None] / 5 + phase) + np.cos(columns[..., None] / 9 - phase)
    return np.uint8(127 + 60 * waves)


def test_all_frames_of_a_clip_are_treated_alike(augment: RandAugment) -> None:
    still = np.stack([picture()] * 4)
    changed = [augment(still, np.random.default_rng(seed)) for seed in range(12)]
    for clip in changed:
        assert (clip.dtype, clip.shape) == (np.uint8, still.shape)
        assert (clip == clip[:1]).all()
    assert sum((clip != still).any() for clip in changed) >= 8
    assert len({clip.tobytes() for clip in changed}) >= 8


def test_a_frame_changes_the_same_whatever_comes_before_it(augment: RandAugment) -> None:
    for seed in range(6):
        frames = np.stack([picture(0), picture(1), picture(2)])
        whole = augment(frames, np.random.default_rng(seed))
        assert (whole[2] == augment(frames[2:], np.random.default_rng(seed))[0]).all()


def test_draws_come_from_the_generator_and_nobody_else_notices(augment: RandAugment) -> None:
    frames = np.stack([picture()] * 2)
    random.seed(1)
    before = random.getstate()
    one = augment(frames, np.random.default_rng(7))
    assert random.getstate() == before
    random.seed(2)
    assert (augment(frames, np.random.default_rng(7)) == one).all()


def test_nothing_is_mirrored(augment: RandAugment) -> None:
    assert len(augment.operations) == 15
    assert not [name for name in augment.operations if "lip" in name or "irror" in name]


def test_the_notation_decides_how_many_and_how_strong() -> None:
    frames = np.stack([picture()])
    for text in ("rand-m9-n0", "rand-m9-n2-p0"):
        assert (RandAugment(text, GRAY)(frames, np.random.default_rng(0)) == frames).all()
    assert "SolarizeIncreasing" in RandAugment("rand-m0-n5-p1-inc1", GRAY).operations


def test_what_training_does_to_clips_is_said() -> None:
    plain = describe_augmentation(SMALL)
    assert plain == "augmentation: clips are cropped anywhere, never mirrored"
    mixed = apply_settings(SMALL, ["optim.mixup=0.8", "optim.cutmix=1", "data.randaugment=rand-m9"])
    assert describe_augmentation(mixed).endswith(
        "never mirrored, RandAugment (rand-m9), blended in pairs (mixup and cutmix)"
    )


def test_mirroring_is_warned_of_where_labels_name_a_side() -> None:
    mirrored = RECIPES["timesformer-k400"]
    assert "mirrored left to right" in describe_augmentation(mirrored)
    (warning,) = warn_of_mirroring(mirrored, ("static", "pan_left"))
    assert "'pan_left'" in warning
    assert warn_of_mirroring(mirrored, ("leftovers", "copyright")) == ()
    assert warn_of_mirroring(SMALL, ("pan_left", "pan_right")) == ()
