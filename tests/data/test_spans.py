"""Labeled spans inside longer files: what is shown is what the label speaks of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import write_frames
from vidattn.config import ClipConfig, DataConfig, OptimConfig, Recipe, ViewConfig
from vidattn.data.clip_dataset import EvaluationVideos, EvaluationViews, TrainingClips, VideoDataset
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.sets import open_dataset
from vidattn.data.sets.csv_list import open_table
from vidattn.errors import DataError
from vidattn.evaluation.dataset import make_planner
from vidattn.types import Item

CLIP = ClipConfig(frames=4, step_seconds=0.3, short_side=32, crop=32, mean=(0, 0, 0), std=(1, 1, 1))
SPREAD = replace(CLIP, train_sampling="bins", sampling="uniform")
LEVELS = {"dark": 20, "gray": 120, "bright": 220}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds at 10 frames a second: one dark, one gray, one bright."""
    seconds = [np.full((10, 48, 64, 3), level, np.uint8) for level in LEVELS.values()]
    path = tmp_path_factory.mktemp("spans") / "video.mp4"
    return write_frames(path, np.concatenate(seconds))


def opened(video: Path, *rows: str) -> LabeledDataset:
    """The rows `label,start,end` as a set, in their order."""
    path = video.with_name("list.csv")
    lines = "".join(f"video.mp4,{row},train\n" for row in rows)
    path.write_text("path,label,start,end,split\n" + lines)
    return open_table(path, "train", names=tuple(LEVELS))


def viewed(dataset: LabeledDataset, clip: ClipConfig) -> Sequence[EvaluationViews]:
    return list(EvaluationVideos(dataset, clip, make_planner(clip, ViewConfig(1, 1))).all())


@pytest.mark.parametrize("clip", [CLIP, SPREAD], ids=["dense", "bins"])
@pytest.mark.parametrize("length", [0.01, 0.1, 0.35, 1.0])
def test_a_short_span_shows_its_own_frames(video: Path, clip: ClipConfig, length: float) -> None:
    rows = [f"{label},{place + 0.0},{place + length}" for place, label in enumerate(LEVELS)]
    dataset = opened(video, *rows)
    clips = TrainingClips(dataset, clip)
    seen = viewed(dataset, clip)
    for number, level in enumerate(LEVELS.values()):
        trained = [clips[epoch, number].clip for epoch in range(4)]
        evaluated = seen[number].clips
        assert evaluated is not None
        for shown in (*trained, evaluated):
            assert float((shown - level / 255).abs().max()) < 0.03


@pytest.mark.parametrize("clip", [CLIP, SPREAD], ids=["dense", "bins"])
def test_a_span_that_ends_after_its_file_is_cut_there(video: Path, clip: ClipConfig) -> None:
    dataset = opened(video, "dark,0,1", "bright,2,60")
    evaluated = viewed(dataset, clip)[1].clips
    trained = TrainingClips(dataset, clip)[0, 1].clip
    assert min(float(evaluated.min()), float(trained.min())) > 0.8


def test_a_span_after_the_end_fails_in_evaluation_and_is_replaced_in_training(video: Path) -> None:
    dataset = opened(video, "dark,0,1", "bright,7,8")
    assert viewed(dataset, CLIP)[1].failure.code == "E_SHORT"
    sample = TrainingClips(dataset, CLIP)[0, 1]
    assert [problem.code for problem in sample.replaced] == ["E_SHORT"]
    assert sample.label == 0  # that of the video in its place


def test_spans_may_overlap_and_keep_their_own_labels(video: Path) -> None:
    dataset = opened(video, "dark,0,2", "gray,0.5,1.5", "bright,0,3")
    assert [item.label for item in dataset.items] == [0, 1, 2]
    clips = TrainingClips(dataset, SPREAD)
    assert [clips[0, number].label for number in range(3)] == [0, 1, 2]
    means = [float(clips[0, number].clip.mean()) for number in (0, 1)]
    assert means == pytest.approx([70 / 255, 70 / 255], abs=0.12)
    assert float(clips[0, 2].clip.max()) > 0.8


def test_frame_numbers_name_a_part_too(video: Path) -> None:
    parts = [(0, 10), (10, 11), (20, 99), (40, 50)]
    items = tuple(Item(str(video), 0, frames=part) for part in parts)
    seen = viewed(LabeledDataset("x", video.parent, "train", tuple(LEVELS), items), CLIP)
    for number, level in enumerate(LEVELS.values()):
        clips = seen[number].clips
        assert clips is not None
        assert float((clips - level / 255).abs().max()) < 0.03
    assert seen[3].failure.code == "E_SHORT"


def test_spans_of_one_file_make_a_training_dataset(video: Path) -> None:
    rows = [f"video.mp4,{label},{i + 0.1 * n},{i + 0.1 * n + 0.3},{split}\n"
            for i, label in enumerate(LEVELS)
            for n, split in enumerate(("train", "train", "train", "val"))]  # fmt: skip
    path = video.with_name("splits.csv")
    path.write_text("path,label,start,end,split\n" + "".join(rows))
    train, val = open_dataset(str(path), None, "train"), open_dataset(str(path), None, "val")
    for keep in (0, 64):
        recipe = Recipe(
            "x", clip=CLIP, optim=OptimConfig(batch_size=3), data=DataConfig(cache_mb=keep)
        )
        dataset = VideoDataset(recipe, train, val, make_planner(CLIP, ViewConfig(1, 1)))
        batch = next(iter(dataset.batches(0)))
        evaluated = next(iter(dataset.validation_batches()))
        for clips, labels in ((batch.clips, batch.labels), (evaluated.clips, evaluated.labels)):
            levels = [LEVELS[train.labels[label]] / 255 for label in labels.tolist()]
            assert clips.mean((1, 2, 3, 4)).numpy() == pytest.approx(levels, abs=0.03)


def test_spans_of_one_file_stay_in_one_split_unless_the_list_states_splits(video: Path) -> None:
    path = video.with_name("undecided.csv")
    header = "path,label,start,end\n"
    path.write_text(header + "video.mp4,dark,0,1\nvideo.mp4,gray,1,2\n")
    with pytest.raises(DataError, match="no row belongs to val") as caught:
        open_dataset(str(path), None, "val")
    assert "add a column split" in (caught.value.hint or "")
    names = [f"{n}.mp4" for n in range(10)]
    for name in names:
        video.with_name(name).touch()
    rows = [f"{name},{label},{i},{i + 1}\n" for name in names for i, label in enumerate(LEVELS)]
    path.write_text(header + "".join(rows))
    train, val = open_dataset(str(path), None, "train"), open_dataset(str(path), None, "val")
    assert not {item.path for item in train.items} & {item.path for item in val.items}
    assert (len(train.items), len(val.items)) == (24, 6)
    assert "24 samples to train, 6 to validate" in train.notes[0]
    assert "20% of every class is for validation, in whole files (--group-by keeps" in val.notes[0]
