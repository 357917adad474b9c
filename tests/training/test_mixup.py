"""Mixed clips show what their targets say, in every frame."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vidattn.config import OptimConfig
from vidattn.errors import RecipeError
from vidattn.training.mixup import box, mix_clips, partners

LABELS = torch.tensor([0, 1, 2, 0])


def numbered(count: int) -> Tensor:
    """Clips [count, 3, 5, 8, 12] of which the i-th is i + 1 everywhere."""
    return (torch.arange(count) + 1.0)[:, None, None, None, None].expand(-1, 3, 5, 8, 12)


def cut(seed: int, **changes: float) -> tuple[Tensor, Tensor]:
    optim = OptimConfig(cutmix=1.0, **changes)
    return mix_clips(numbered(4), LABELS, 3, optim, np.random.default_rng(seed))


def test_class_weights_multiply_the_targets_of_mixed_clips_too() -> None:
    weights = (0.5, 2.0, 3.0)
    plain, weighted = (
        mix_clips(
            numbered(4),
            LABELS,
            3,
            OptimConfig(mixup=1.0, label_smoothing=0.1, class_weights=given),
            np.random.default_rng(0),
        )[1]
        for given in ((), weights)
    )
    torch.testing.assert_close(weighted, plain * torch.tensor(weights))


@pytest.mark.parametrize(
    ("share", "center", "expected"),
    [
        (0.75, (0.5, 0.5), (2, 6, 3, 9)),  # half of 8 and of 12, around (4, 6)
        (0.75, (0.0, 0.0), (0, 2, 0, 3)),  # a quarter of it is inside
        (0.75, (0.99, 0.5), (5, 8, 3, 9)),
        (1.0, (0.3, 0.3), (2, 2, 3, 3)),  # nothing
        (0.0, (0.5, 0.5), (0, 8, 0, 12)),  # everything
    ],
)
def test_boxes_agree_with_those_by_hand(
    share: float, center: tuple[float, float], expected: tuple[int, int, int, int]
) -> None:
    assert box(8, 12, share, center) == expected


def test_one_box_of_height_and_width_is_cut_out_of_all_frames() -> None:
    for seed in range(20):
        clips, _ = cut(seed)
        assert torch.equal(clips, clips[:, :1, :1].expand_as(clips))  # any frame is the first
        other = clips[0, 0, 0] == 2
        rows, columns = other.any(1), other.any(0)
        assert int(other.sum()) == int(rows.sum()) * int(columns.sum())  # a full rectangle
        for edge in (rows, columns):
            assert int((edge[1:] != edge[:-1]).sum()) <= 2  # without gaps


def test_targets_are_the_shares_of_the_pixels() -> None:
    seen = set()
    for seed in range(30):
        clips, targets = cut(seed)
        for i, partner in enumerate((1, 0, 3, 2)):
            share = (clips[i] == partner + 1).float().mean().item()
            assert targets[i, LABELS[partner]] == pytest.approx(share, abs=1e-6)
            assert targets[i, LABELS[i]] == pytest.approx(1 - share, abs=1e-6)
        seen.add(round(share, 3))
    assert len(seen) > 10


def test_mixup_blends_both_clips_and_targets_alike() -> None:
    clips, targets = mix_clips(
        numbered(4), LABELS, 3, OptimConfig(mixup=0.8), np.random.default_rng(3)
    )
    share = targets[0, 0].item()
    assert 0 < share < 1
    assert torch.allclose(clips[0], torch.tensor(share * 1 + (1 - share) * 2))
    assert torch.allclose(clips[3], torch.tensor(share * 4 + (1 - share) * 3))
    assert torch.allclose(targets.sum(1), torch.ones(4))


def test_the_loss_is_that_of_both_labels_in_their_shares() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    _, targets = cut(5, label_smoothing=0.1)
    _, plain = cut(5)
    share = plain[0, 0].item()
    ours, theirs = (
        F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
        for labels in (LABELS, LABELS[partners(4)])
    )
    expected = share * ours + (1 - share) * theirs
    torch.testing.assert_close(F.cross_entropy(logits, targets, reduction="none"), expected)


def test_without_mixing_targets_are_smoothed_labels_and_clips_untouched() -> None:
    given, logits = numbered(4), torch.eye(4, 3)
    clips, targets = mix_clips(
        given, LABELS, 3, OptimConfig(label_smoothing=0.3), np.random.default_rng(0)
    )
    assert clips is given
    smooth = F.cross_entropy(logits, LABELS, label_smoothing=0.3)
    torch.testing.assert_close(F.cross_entropy(logits, targets), smooth)


@pytest.mark.parametrize("ways", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_halves_of_a_batch_mix_as_the_whole_does(ways: dict[str, float]) -> None:
    optim, given = OptimConfig(**ways), torch.randn(4, 3, 2, 8, 8)
    for seed in range(4):
        whole, targets = mix_clips(given, LABELS, 3, optim, np.random.default_rng(seed))
        halves = [
            mix_clips(given[i : i + 2], LABELS[i : i + 2], 3, optim, np.random.default_rng(seed))
            for i in (0, 2)
        ]
        assert torch.equal(whole, torch.cat([clips for clips, _ in halves]))
        assert torch.equal(targets, torch.cat([boxes for _, boxes in halves]))


def test_both_ways_take_turns_by_chance() -> None:
    optim, pasted = OptimConfig(mixup=1.0, cutmix=1.0), 0
    for seed in range(60):
        clips, _ = mix_clips(numbered(2), LABELS[:2], 3, optim, np.random.default_rng(seed))
        pasted += bool(((clips == 1) | (clips == 2)).all())
    assert 18 <= pasted <= 42


def test_a_clip_without_a_partner_stays_as_it_is() -> None:
    assert partners(5).tolist() == [1, 0, 3, 2, 4]
    clips, targets = mix_clips(
        numbered(1), LABELS[:1], 3, OptimConfig(mixup=1.0), np.random.default_rng(0)
    )
    assert torch.equal(clips, numbered(1))
    assert targets.tolist() == [[1, 0, 0]]


def test_the_motion_of_patches_is_unknown_in_mixed_clips() -> None:
    with pytest.raises(RecipeError, match=r"optim\.flow_weight must be .* 0 with optim\.mixup"):
        OptimConfig(flow_weight=1.0, cutmix=1.0)
