"""Training on videos that have several labels at once."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vidattn
from tests.helpers import encode_video
from tests.training.test_artifacts import TINY, run
from vidattn.data.clip_dataset import TrainingClips
from vidattn.data.labeled_dataset import note_several
from vidattn.data.sets import open_dataset, open_samples
from vidattn.data.sets.named_dataset import SPLIT_NAMES
from vidattn.errors import RecipeError
from vidattn.models.device import Runtime
from vidattn.training import fit
from vidattn.training.mixup import mix_clips
from vidattn.types import Item, Window
from vidattn.weights.loading import load

BOTH = replace(TINY, optim=replace(TINY.optim, batch_size=4, epochs=12, balance=True))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lamps on the left, on the right, or both; a third of the videos validate."""
    root = tmp_path_factory.mktemp("lamps")
    rows = ["path,label,split"]
    for number in range(18):
        lit = ("left", "right", "left;right")[number % 3]
        frames = np.random.default_rng(number).integers(0, 60, (12, 32, 48, 3)).astype(np.uint8)
        frames[:, :, :20] += 180 * ("left" in lit)
        frames[:, :, 28:] += 180 * ("right" in lit)
        encode_video(root / f"{number}.mp4", frames, rate=8)
        rows.append(f"{number}.mp4,{lit},{'val' if number % 9 < 3 else 'train'}")
    (root / "lamps.csv").write_text("\n".join(rows))
    return root / "lamps.csv"


@pytest.fixture(scope="module")
def trained(listed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[fit.Event]]:
    folder = tmp_path_factory.mktemp("run") / "lamps"
    return folder, run(listed, folder, BOTH)


def test_a_list_of_several_labels_trains_a_probability_for_each(
    listed: Path, trained: tuple[Path, list[fit.Event]]
) -> None:
    folder, events = trained
    last = [event for event in events if isinstance(event, fit.EpochDone)][-1]
    assert last.scores["map"] == 1.0
    assert set(last.scores) == {"map", "nll"}
    (text,) = (event.text for event in events if isinstance(event, fit.Verdict))
    assert text.startswith("mAP 100.0 % on 6 validation clips, to which the thresholds of the")
    classifier = load(str(folder))
    assert (classifier.activation, classifier.labels) == ("sigmoid", ("left", "right"))
    assert classifier.thresholds == last.thresholds
    found = vidattn.evaluate(trained[0], listed, runtime=Runtime("cpu"))["several"]
    assert (found["map"], found["macro_f1"], found["accuracy"]) == (1, 1, 1)


def test_its_labels_overlap_in_a_timeline(
    listed: Path, trained: tuple[Path, list[fit.Event]]
) -> None:
    timeline = vidattn.segment(listed.with_name("2.mp4"), load(str(trained[0])))
    assert {segment.label for segment in timeline.segments} == {"left", "right"}
    assert {segment.start for segment in timeline.segments} == {0.0}


def test_its_metrics_and_curves_are_those_of_several_labels(
    trained: tuple[Path, list[fit.Event]],
) -> None:
    folder = trained[0]
    header = (folder / "metrics.csv").read_text().splitlines()[0]
    assert header == "epoch,step,loss,lr,train_top1,map,nll,seconds,waiting"
    assert "best validation mAP 100.0 %" in (folder / "curves.html").read_text()
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["activation"] == "sigmoid"
    assert recipe["optim"]["class_weights"] == [1.0, 1.0]  # no label is rare


def test_a_run_of_several_labels_resumes_to_the_same_bytes(listed: Path, tmp_path: Path) -> None:
    short = replace(BOTH, optim=replace(BOTH.optim, epochs=2))
    run(listed, tmp_path / "whole", short)
    recipe = replace(short, data=replace(short.data, dataset=str(listed)))
    for event in fit.fit(recipe, tmp_path / "halves", device="cpu"):
        if isinstance(event, fit.CheckpointSaved):
            break
    run(listed, tmp_path / "halves", short, resume=True)
    whole, halves = (
        (tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "halves")
    )
    assert whole[-4096:] == halves[-4096:]


@pytest.fixture
def tiers(tmp_path: Path) -> Path:
    """Videos in which the left lamp burns for two seconds, and the right one from the last half
    second of that on: spans of two tiers."""
    rows = ["path,label,start,end,split"]
    for number in range(6):
        frames = np.random.default_rng(number).integers(0, 60, (24, 32, 48, 3)).astype(np.uint8)
        frames[:16, :, :20] += 180
        frames[12:, :, 28:] += 180
        encode_video(tmp_path / f"{number}.mp4", frames, rate=8)
        split = "train" if number < 4 else "val"
        rows += [f"{number}.mp4,left,0,2,{split}", f"{number}.mp4,right,1.5,3,{split}"]
    (tmp_path / "tiers.csv").write_text("\n".join(rows))
    return tmp_path / "tiers.csv"


def test_overlapping_spans_train_a_probability_for_each_label(tiers: Path, tmp_path: Path) -> None:
    brief = replace(TINY.clip, step_seconds=0.125)
    longer = replace(BOTH, clip=brief, optim=replace(BOTH.optim, epochs=60))
    events = run(tiers, tmp_path / "run", longer)
    (told,) = (e.text for e in events if isinstance(e, fit.TrainingNote) and "at once" in e.text)
    assert f"at once ({tmp_path / '0.mp4'}: left and right)" in told
    classifier = load(str(tmp_path / "run"))
    assert classifier.activation == "sigmoid"
    found = vidattn.segment(tiers.with_name("5.mp4"), classifier, overlap=0.0, smooth="none")
    assert [span.start for span in found.windows] == [0, 0.5, 1, 1.5, 2, 2.5]
    assert (found.scores.round() == [[1, 0]] * 3 + [[1, 1]] + [[0, 1]] * 2).all()


def test_a_clip_has_the_labels_at_its_center_and_a_sample_those_of_half_of_it(tiers: Path) -> None:
    dataset = open_dataset(str(tiers), None, "train")
    clips = TrainingClips(dataset, replace(TINY.clip, step_seconds=0.05), several=True)
    marks = {tuple(torch.as_tensor(clips[n, 0].label).tolist()) for n in range(20)}
    assert marks == {(1, 0), (1, 1)}  # the left lamp burns alone, then both do
    assert dataset.several
    assert [item.main_labels for item in dataset.items[:2]] == [(0,), (1,)]
    listed = tiers.with_name("others.csv")
    listed.write_text("path,label,start,end\n0.mp4,left,0,2\n0.mp4,right,1.9,3\n1.mp4,left,0,2")
    assert not open_samples(str(listed)).several  # an inexact boundary
    listed.write_text("path,label,start,end\n0.mp4,left,0,2\n0.mp4,right,1,3\n1.mp4,left,0,2")
    assert [item.main_labels for item in open_samples(str(listed)).items] == [(0, 1), (1, 0), (0,)]


def test_spans_of_one_label_that_overlap_count_once() -> None:
    spans = ((4, 4.5, 2), (0, 3, 1), (0, 3.5, 1), (1, 2, 1), (9, 20, 2))
    found = Item("0.mp4", 0, Window(0, 10), also=spans)
    assert found.shares() == {2: pytest.approx(0.15), 1: pytest.approx(0.35)}
    assert found.main_labels == (0,)
    assert replace(found, also=((0, 10, 1), (0, 6, 1))).shares() == {1: 1.0}
    whole = Item("0.mp4", 0, also=((0, math.inf, 1), (0, 3, 1), (0, 3, 2)))
    assert whole.shares() == {1: 1.0, 2: 0.0}  # of a file of unknown length


def test_a_label_that_shares_only_a_moment_is_no_example_of_several(listed: Path) -> None:
    rows = ["path,label,start,end,split"]
    for number in (1, 2):
        split = ("train", "val")[number - 1]
        rows += [f"{number}.mp4,left,0,1,{split}", f"{number}.mp4,right,0.5,1.4,{split}"]
        rows += [f"{number}.mp4,dark,0.95,1.5,{split}"]
    path = listed.with_name("moment.csv")
    path.write_text("\n".join(rows))
    train, val = (open_dataset(str(path), None, split) for split in SPLIT_NAMES)
    assert "1.mp4: left and right)" in note_several(train, val)


def test_rare_labels_weigh_more_up_to_a_limit(listed: Path) -> None:
    dataset = open_dataset(str(listed), None, "train")
    rare = [replace(item, label=0, labels=()) for item in dataset.items]
    uneven = replace(dataset, items=(*rare, replace(rare[0], labels=(0, 1))))
    assert uneven.class_weights() == (1.0, 10.0)


def test_mixed_clips_have_a_share_of_the_labels_of_both() -> None:
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    optim = replace(TINY.optim, mixup=1.0, class_weights=(5.0, 5.0, 5.0))
    _, targets = mix_clips(torch.zeros(2, 3, 1, 4, 4), labels, 3, optim, np.random.default_rng(0))
    assert targets[:, 1].tolist() == [1, 1]
    assert targets[0, 0] + targets[1, 0] == pytest.approx(1)
    assert not targets[:, 2].any()


def test_generated_videos_have_one_label_at_a_time(tmp_path: Path) -> None:
    motion = replace(BOTH, activation="sigmoid", data=replace(BOTH.data, clips_per_epoch=8))
    with pytest.raises(RecipeError, match="motion has one label at a time"):
        run(Path("motion"), tmp_path, motion)
