"""Clips cut out of labeled videos: what they show, in which order, and what broken ones do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from tests.data.conftest import FRAMES, write_frames
from vidattn.config import (
    ClipConfig,
    DataConfig,
    OptimConfig,
    Recipe,
    TimeSformerConfig,
    ViewConfig,
)
from vidattn.data import plan
from vidattn.data.batch import shard_range
from vidattn.data.clip_dataset import (
    EvaluationVideos,
    TrainingBatches,
    TrainingClips,
    VideoDataset,
    draw_clip,
)
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError, RecipeError
from vidattn.training.data import fit_recipe
from vidattn.types import Item, View, Window
from vidattn.video import Video

CLIP = ClipConfig(frames=4, step_seconds=0.3, short_side=32, crop=32, mean=(0, 0, 0), std=(1, 1, 1))
TIMES = np.arange(100) / 10
WHOLE = Window(0.0, 10.0)


def centered(video: Video, region: Window) -> Sequence[View]:
    return plan.plan_views(video.times, region, CLIP, mode="dense", views=ViewConfig(1, 1)).views


@pytest.fixture
def train(clips: Path) -> LabeledDataset:
    return open_dataset(str(clips), None, "train")


@pytest.fixture
def broken(train: LabeledDataset, tmp_path: Path) -> LabeledDataset:
    """The set with its third video replaced by one that does not decode."""
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all")
    items = list(train.items)
    items[2] = Item(str(path), items[2].label)
    return replace(train, items=tuple(items))


def test_dense_clips_keep_the_step_and_stay_inside() -> None:
    starts = set()
    for seed in range(200):
        indices = draw_clip(TIMES, Window(2.0, 6.0), CLIP, np.random.default_rng(seed))
        assert set(np.diff(indices)) <= {2, 3, 4}  # 0.3 s at 10 frames a second
        assert indices.min() >= 20
        assert indices.max() < 60
        starts.add(int(indices[0]))
    assert starts >= set(range(22, 49))  # anywhere the clip of 1.2 s fits


def test_a_short_video_repeats_its_last_frame() -> None:
    indices = draw_clip(TIMES[:5], Window(0, 0.5), CLIP, np.random.default_rng(0))
    assert indices.tolist() == [1, 4, 4, 4]


def test_bins_show_one_frame_of_each_part() -> None:
    clip = replace(CLIP, train_sampling="bins")
    drawn = np.array([draw_clip(TIMES, WHOLE, clip, np.random.default_rng(i)) for i in range(300)])
    assert (drawn // 25 == np.arange(4)).all()
    assert len(np.unique(drawn)) > 90


def test_times_and_not_frame_numbers_place_a_clip() -> None:
    times = np.concatenate([np.arange(50) / 50, 1 + np.arange(10)])  # 50 frames in the first second
    indices = draw_clip(
        times, Window(0, 11), replace(CLIP, train_sampling="bins"), np.random.default_rng(1)
    )
    assert (indices[1:] >= 50).all()


def test_a_training_clip_is_normalized_and_of_the_size_asked_for(train: LabeledDataset) -> None:
    sample = TrainingClips(train, CLIP)[0, 0]
    assert sample.clip.shape == (3, 4, 32, 32)
    assert sample.clip.dtype == torch.float32
    assert 0 <= sample.clip.min() < 0.2
    assert 0.3 < sample.clip.max() <= 1
    assert sample.label == train.items[0].label


def test_clips_depend_on_seed_epoch_and_index_alone(train: LabeledDataset) -> None:
    one, other = TrainingClips(train, CLIP, seed=3), TrainingClips(train, CLIP, seed=3)
    other[0, 5], other[4, 1]
    assert torch.equal(one[2, 1].clip, other[2, 1].clip)
    assert not torch.equal(one[2, 1].clip, one[3, 1].clip)
    assert not torch.equal(one[2, 1].clip, TrainingClips(train, CLIP, seed=4)[2, 1].clip)


def test_mirroring_can_be_switched_off(tmp_path: Path) -> None:
    frames = np.zeros((FRAMES, 48, 64, 3), np.uint8)
    frames[:, :, :16] = 255  # white on the left
    path = write_frames(tmp_path / "a" / "left.mp4", frames)
    dataset = LabeledDataset("x", tmp_path, "train", ("a",), (Item(str(path), 0),))
    wide = replace(CLIP, short_side=48, crop=48)

    plain = TrainingClips(dataset, wide, DataConfig(flip=False, short_side_range=(48, 48)))
    flipped = TrainingClips(dataset, wide, DataConfig(short_side_range=(48, 48)))
    assert not any(plain[e, 0].clip[..., -8:].mean() > 0.5 for e in range(8))
    assert {bool(flipped[e, 0].clip[..., -8:].mean() > 0.1) for e in range(12)} == {True, False}


def test_the_short_side_is_drawn_evenly_or_its_inverse_is(train: LabeledDataset) -> None:
    def mean(drawn: Literal["uniform", "inverse"]) -> float:
        data = DataConfig(short_side_range=(100, 300), short_side_sampling=drawn)
        clips = TrainingClips(train, CLIP, data)
        sides = [clips._draw_short_side(np.random.default_rng(seed)) for seed in range(2000)]
        assert 100 <= min(sides) < 105
        assert 290 < max(sides) <= 300
        return float(np.mean(sides))

    assert mean("uniform") == pytest.approx(200, abs=5)
    assert mean("inverse") == pytest.approx(np.log(3) * 150, abs=5)  # mean of 1 / U(1/300, 1/100)


def test_augmented_clips_are_others_and_the_same_every_time(train: LabeledDataset) -> None:
    plain = TrainingClips(train, CLIP, DataConfig(flip=False))
    one, other = (
        TrainingClips(train, CLIP, DataConfig(flip=False, randaugment="rand-m9-n2-mstd0.5-p1"))
        for _ in range(2)
    )
    for place in ((0, 0), (1, 3)):
        assert torch.equal(one[place].clip, other[place].clip)
        assert not torch.equal(one[place].clip, plain[place].clip)


def test_every_video_comes_once_an_epoch_in_an_order_of_its_own(train: LabeledDataset) -> None:
    clips = TrainingClips(train, CLIP)
    orders = [clips.order(epoch).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(len(train.items))) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[1] == TrainingClips(train, CLIP).order(1).tolist()


def test_batches_are_numbered_across_epochs_and_can_start_anywhere(train: LabeledDataset) -> None:
    batches = TrainingBatches(TrainingClips(train, CLIP), batch_size=4, epochs=2)
    assert len(train.items) == 10
    assert (batches.steps_per_epoch, len(batches)) == (2, 4)
    everything = list(batches.batches())
    rest = list(batches.batches(3))
    assert len(everything) == 4
    assert torch.equal(everything[3].clips, rest[0].clips)
    assert everything[0].clips.shape == (4, 3, 4, 32, 32)
    assert everything[0].labels.dtype == torch.int64
    order = TrainingClips(train, CLIP).order(1)
    assert rest[0].labels.tolist() == [train.items[i].label for i in order[4:8]]


def test_worker_processes_change_nothing(broken: LabeledDataset) -> None:
    batches = TrainingBatches(TrainingClips(broken, CLIP), batch_size=5, epochs=1)
    for alone, helped in zip(batches.batches(), batches.batches(workers=2), strict=True):
        assert torch.equal(alone.clips, helped.clips)
        assert torch.equal(alone.labels, helped.labels)
        assert [tuple(f) for f in alone.replaced] == [tuple(f) for f in helped.replaced]


def test_processes_share_a_batch_without_overlap(train: LabeledDataset) -> None:
    clips = TrainingClips(train, CLIP)
    whole = TrainingBatches(clips, 4, 1)[0]
    parts = [TrainingBatches(clips, 4, 1, shard=(rank, 2))[0] for rank in range(2)]
    assert torch.equal(whole.clips[:2], parts[0].clips)
    assert torch.equal(whole.clips[2:], parts[1].clips)


def test_fewer_videos_than_a_batch_make_one_smaller_batch(train: LabeledDataset) -> None:
    few = replace(train, items=train.items[:3])
    batches = TrainingBatches(TrainingClips(few, CLIP), batch_size=64, epochs=1)
    assert (batches.steps_per_epoch, len(batches[0].labels)) == (1, 3)


def test_a_broken_video_is_replaced_deterministically_and_reported(broken: LabeledDataset) -> None:
    clips = TrainingClips(broken, CLIP)
    first, second = clips[0, 2], clips[0, 2]
    assert torch.equal(first.clip, second.clip)
    assert first.replaced[0].path == broken.items[2].path
    assert first.replaced[0].code == "E_NOT_VIDEO"
    replaced = [f for batch in TrainingBatches(clips, 5, 1).batches() for f in batch.replaced]
    assert {f.path for f in replaced} == {broken.items[2].path}


def test_a_dataset_of_broken_videos_only_is_an_error(broken: LabeledDataset) -> None:
    hopeless = replace(broken, items=broken.items[2:3])
    with pytest.raises(DataError, match="10 videos in a row do not decode"):
        TrainingClips(hopeless, CLIP)[0, 0]


def test_evaluation_views_are_never_replaced(broken: LabeledDataset) -> None:
    seen = list(EvaluationVideos(broken, CLIP, centered).all())
    assert [viewed.number for viewed in seen] == list(range(10))
    assert [viewed.number for viewed in seen if viewed.clips is None] == [2]
    assert seen[2].failure.path == broken.items[2].path
    assert all(v.clips.shape == (1, 3, 4, 32, 32) for v in seen if v.clips is not None)


def test_a_balanced_recipe_weighs_classes_by_their_samples(train: LabeledDataset) -> None:
    first, other = (next(i for i in train.items if i.label == k) for k in (0, 1))
    uneven = replace(train, labels=("x", "y"), items=(first,) * 3 + (other,))
    assert uneven.class_weights() == (0.666667, 2.0)
    assert replace(uneven, items=(first,) * 99 + (other,)).class_weights()[1] == 10
    recipe = Recipe("a", TimeSformerConfig(), CLIP, optim=OptimConfig(balance=True, batch_size=2))
    videos = VideoDataset(recipe, uneven, uneven, centered)
    assert fit_recipe(recipe, videos).optim.class_weights == (0.666667, 2.0)
    plain = replace(recipe, optim=OptimConfig(batch_size=2))
    assert fit_recipe(plain, videos).optim.class_weights == ()
    three = replace(recipe, optim=OptimConfig(batch_size=2, class_weights=(1.0, 2.0, 1.0)))
    with pytest.raises(RecipeError, match="3 for 2 classes"):
        fit_recipe(three, videos)


def test_a_split_without_videos_is_an_error(train: LabeledDataset) -> None:
    recipe = Recipe("x", model=TimeSformerConfig(classes=2), clip=CLIP, optim=OptimConfig())
    empty = replace(train, items=(), split="val")
    with pytest.raises(DataError, match="no videos to validate with"):
        VideoDataset(recipe, train, empty, centered)


def test_validation_reads_every_video_once_and_lists_failures(broken: LabeledDataset) -> None:
    recipe = Recipe("x", clip=CLIP, optim=OptimConfig(batch_size=4), data=DataConfig(workers=0))
    dataset = VideoDataset(recipe, broken, broken, centered)
    for _ in range(2):
        batches = list(dataset.validation_batches())
        assert [len(batch.labels) for batch in batches] == [4, 4, 1]
        labels = [item.label for i, item in enumerate(broken.items) if i != 2]
        assert torch.cat([batch.labels for batch in batches]).tolist() == labels
        assert [failure.path for failure in dataset.unreadable] == [broken.items[2].path]


@pytest.mark.parametrize(("size", "count"), [(7, 3), (8, 2), (3, 5), (0, 2)])
def test_shards_cover_everything_once_and_evenly(size: int, count: int) -> None:
    shards = [shard_range(size, number, count) for number in range(count)]
    assert [i for shard in shards for i in shard] == list(range(size))
    assert max(map(len, shards)) - min(map(len, shards)) <= (2 if size >= 2 * count else 1)
    assert all(shard.start % 2 == 0 for shard in shards if size >= 2 * count)
