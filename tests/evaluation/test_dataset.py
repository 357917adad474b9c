"""Evaluation of a classifier on labeled videos and batches: every one once."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.data.conftest import CLASSES, write_classes, write_frames
from vidattn.config import ClipConfig, Conv2dConfig, TimeSformerConfig, ViewConfig
from vidattn.config.run_options import EvalViews
from vidattn.data.batch import Batch
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError, UsageError
from vidattn.evaluation.classification import measure, measure_predictions
from vidattn.evaluation.dataset import DatasetEvaluator, VideoPredicted, predict_logits
from vidattn.inference import stream
from vidattn.models.classifier import Classifier, build_model
from vidattn.models.device import Runtime
from vidattn.models.timesformer import TimeSformer
from vidattn.types import Item, Window
from vidattn.video import open_video

CENTER = ViewConfig(1, 1)
CPU = Runtime(device="cpu", batch_size=2)
CLIP = ClipConfig(frames=4, step_seconds=0.2, short_side=32, crop=32, mean=(0, 0, 0), std=(1, 1, 1))


class FollowsTheSquare(nn.Module):
    """Says in which direction the bright spot moved: logits [B, 2]."""

    def forward(self, clips: Tensor) -> Tensor:
        bright = (clips.mean(1) > 0.3).float() + 1e-6
        places = torch.arange(clips.shape[-1], dtype=torch.float32)
        x = (bright.sum(2) * places).sum(2) / bright.sum((2, 3))
        y = (bright.sum(3) * places).sum(2) / bright.sum((2, 3))
        return torch.stack([x[:, -1] - x[:, 0], y[:, -1] - y[:, 0]], 1).abs()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> LabeledDataset:
    root = tmp_path_factory.mktemp("judged")
    write_classes(root / "val", 3, seed=7)
    return open_dataset(str(root), None, "val")


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(FollowsTheSquare(), CLIP, CLASSES)


def outcome(
    classifier: Classifier, dataset: LabeledDataset, views: ViewConfig = CENTER, workers: int = 0
) -> tuple[list[VideoPredicted], dict[str, Any]]:
    evaluator = DatasetEvaluator(classifier, dataset, EvalViews(views), runtime=CPU)
    events = list(evaluator.predict(workers=workers))
    return events, measure_predictions(evaluator.collect(events))


def test_a_motion_classifier_is_right(classifier: Classifier, dataset: LabeledDataset) -> None:
    events, plain = outcome(classifier, dataset)
    assert [event.path for event in events] == [item.path for item in dataset.items]
    assert plain["top1"] == plain["mean_class"] == 1.0
    assert (plain["videos"], plain["scored"], plain["failed"]) == (6, 6, [])
    assert "clips" not in plain
    assert plain["confusion"] == [[3, 0], [0, 3]]
    assert plain["per_class"] == [
        {"label": "across", "videos": 3, "right": 3},
        {"label": "down", "videos": 3, "right": 3},
    ]
    assert plain["settings"]["views"] == "1x1"


@pytest.mark.parametrize("views", [ViewConfig(1, 1), ViewConfig(3, 2)])
@pytest.mark.parametrize("averaging", ["logit", "probability"])
@pytest.mark.parametrize("method", ["dense", "bins"])
def test_a_video_gets_the_scores_that_classify_gives_it(
    dataset: LabeledDataset, views: ViewConfig, averaging: str, method: str
) -> None:
    torch.manual_seed(0)
    config = TimeSformerConfig(classes=2, frames=4, size=32, patch=16, width=16, depth=1, heads=2)
    clip = replace(CLIP, train_sampling=method)  # type: ignore[arg-type]
    model = TimeSformer(config)
    nn.init.normal_(model.head.weight, std=1)
    classifier = Classifier(model, clip, CLASSES, averaging, temperature=1.7)  # type: ignore[arg-type]
    events, _ = outcome(classifier, dataset, views)
    mode = "uniform" if method == "bins" else "dense"
    for event in events[::4]:
        timeline = stream.classify(event.path, classifier, views=views, sampling=mode, runtime=CPU)  # type: ignore[arg-type]
        assert event.scores is not None
        np.testing.assert_array_equal(event.scores, timeline.scores[0])
    assert np.ptp([e.scores[0] for e in events if e.scores is not None]) > 1e-4


def test_labels_are_matched_by_name(dataset: LabeledDataset, classifier: Classifier) -> None:
    other = replace(dataset, labels=("Down", "a_cross"), items=dataset.items[3:])
    swapped = replace(other, items=tuple(Item(i.path, 0) for i in other.items))
    assert outcome(classifier, swapped)[1]["top1"] == 1.0


def test_a_model_may_know_more_classes(dataset: LabeledDataset) -> None:
    class More(FollowsTheSquare):
        def forward(self, clips: Tensor) -> Tensor:
            across, down = super().forward(clips).unbind(1)
            return torch.stack([down, down * 0 - 1, across], 1)

    _, last = outcome(Classifier(More(), CLIP, ("down", "still", "across")), dataset)
    assert last["top1"] == last["mean_class"] == 1.0
    assert last["confusion"] == [[3, 0, 0], [0, 0, 0], [0, 0, 3]]


def test_unknown_classes_are_listed(dataset: LabeledDataset, classifier: Classifier) -> None:
    strange = replace(dataset, labels=("across", "upwards"))
    with pytest.raises(DataError, match="1 of its 2 classes are unknown") as caught:
        outcome(classifier, strange)
    assert "upwards; the model also has: down" in caught.value.message
    assert "vidattn train --dataset" in (caught.value.hint or "")


def test_a_video_that_does_not_decode_is_listed_and_not_replaced(
    dataset: LabeledDataset, classifier: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"nothing")
    damaged = replace(dataset, items=(dataset.items[0], Item(str(path), 1), dataset.items[1]))
    events, plain = outcome(classifier, damaged)
    assert [event.scores is None for event in events] == [False, True, False]
    assert (plain["videos"], plain["scored"], plain["top1"]) == (3, 2, 1.0)
    assert [(f["path"], f["code"]) for f in plain["failed"]] == [(str(path), "E_NOT_VIDEO")]
    hopeless = replace(dataset, items=damaged.items[1:2])
    with pytest.raises(DataError, match="of 1 video none could be read"):
        outcome(classifier, hopeless)


def test_worker_processes_change_nothing(dataset: LabeledDataset, classifier: Classifier) -> None:
    alone, helped = (outcome(classifier, dataset, workers=n)[0] for n in (0, 2))
    for one, other in zip(alone, helped, strict=True):
        assert one.path == other.path
        np.testing.assert_array_equal(one.scores, other.scores)


def test_shards_of_a_dataset_make_the_whole(
    dataset: LabeledDataset, classifier: Classifier
) -> None:
    task = DatasetEvaluator(classifier, dataset, EvalViews(CENTER), runtime=CPU)
    whole = task.collect(task.predict())
    for size in (2, 7):  # more than there are videos, too
        parts = [list(task.predict((rank, size))) for rank in range(size)]
        assert sum(map(len, parts)) == len(dataset.items)
        joined = task.collect(video for part in reversed(parts) for video in part)
        assert joined.paths == whole.paths
        np.testing.assert_array_equal(joined.logits, whole.logits)
        np.testing.assert_array_equal(joined.labels, whole.labels)


def test_more_frames_are_sampled_when_asked_for(dataset: LabeledDataset) -> None:
    torch.manual_seed(0)
    config = TimeSformerConfig(classes=2, frames=4, size=32, patch=16, width=16, depth=1, heads=2)
    classifier = Classifier(TimeSformer(config), replace(CLIP, train_sampling="bins"), CLASSES)
    one = replace(dataset, items=dataset.items[:1])
    evaluator = DatasetEvaluator(classifier, one, EvalViews(CENTER, 7), runtime=CPU)
    made = evaluator.collect(evaluator.predict())
    timeline = stream.classify(one.items[0].path, classifier, frames=7, views=CENTER, runtime=CPU)
    scores = torch.from_numpy(made.logits[0]).softmax(-1).numpy()
    np.testing.assert_allclose(scores, timeline.scores[0], atol=1e-6)
    assert made.about["settings"]["frames"] == 7


@pytest.mark.parametrize(("views", "frames", "clips"), [(CENTER, 8, 2), (ViewConfig(3, 5), 9, 3)])
def test_of_dense_clips_the_frames_in_all_decide_how_many_are_seen(
    dataset: LabeledDataset, classifier: Classifier, views: ViewConfig, frames: int, clips: int
) -> None:
    """A clip has 4 frames; what is reported is what is done."""
    made = []
    for options in (EvalViews(views, frames), EvalViews(replace(views, clips=clips))):
        evaluator = DatasetEvaluator(classifier, dataset, options, runtime=CPU)
        made.append(evaluator.collect(evaluator.predict()))
    np.testing.assert_array_equal(made[0].logits, made[1].logits)
    assert made[0].about["settings"] == made[1].about["settings"]
    with pytest.raises(UsageError, match="3 frames are fewer than the 4 of one clip"):
        DatasetEvaluator(classifier, dataset, EvalViews(views, 3), runtime=CPU)


def test_regions_of_a_file_have_names(dataset: LabeledDataset, classifier: Classifier) -> None:
    path = dataset.items[0].path
    parts = (Item(path, 0, Window(0, 1)), Item(path, 0, Window(1, 1.75)))
    events, _ = outcome(classifier, replace(dataset, items=parts))
    assert [event.path for event in events] == [f"{path}#t=0,1", f"{path}#t=1,1.75"]


LEVEL = 6
"""How much brighter a frame is than the one before."""


class Recorder(nn.Module):
    """Records the numbers of the frames that it is shown, going by their brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[list[int]] = []

    def forward(self, clips: Tensor) -> Tensor:
        levels = 255 * clips.mean((1, 3, 4)) / LEVEL
        self.shown += levels.round().int().tolist()
        return torch.zeros(len(clips), 2)


def kinetics_indices(
    frames: int, rate: int, total: int, fps: float, view: int, views: int
) -> list[int]:
    """The arithmetic of decoder.py in the official code, with torch as there."""
    size = rate * frames / 30 * fps
    start = max(total - size, 0) * view / views
    first, last = int(start), min(int(start + size - 1), total - 1)
    index = torch.linspace(0, size - 1, frames)
    return [first + i for i in torch.clamp(index, 0, last - first).long().tolist()]


def ssv2_indices(frames: int, total: int) -> list[int]:
    """The arithmetic of get_seq_frames in the official ssv2.py."""
    seg_size = float(total - 1) / frames
    edges = [int(np.round(seg_size * i)) for i in range(frames + 1)]
    return [(a + b) // 2 for a, b in pairwise(edges)]


@pytest.mark.parametrize("method", ["dense", "bins"])
@pytest.mark.parametrize("window", [None, Window(1, 3)])
def test_official_sampling_has_official_frames(
    tmp_path: Path, method: str, window: Window | None
) -> None:
    levels = np.arange(40, dtype=np.uint8) * LEVEL
    frames = np.broadcast_to(levels[:, None, None, None], (40, 48, 64, 3))
    path = write_frames(tmp_path / "levels.mp4", np.ascontiguousarray(frames))
    source = LabeledDataset("levels", tmp_path, "val", CLASSES, (Item(str(path), 0, window),))
    clip = replace(CLIP, frames=8, train_sampling=method)  # type: ignore[arg-type]
    model = Recorder()
    views = EvalViews(ViewConfig(3, 2), sampling="official")
    list(DatasetEvaluator(Classifier(model, clip, CLASSES), source, views, runtime=CPU).predict())
    first, total = (0, 40) if window is None else (10, 20)
    expected = [
        [first + i for i in indices]
        for view in range(2)
        for indices in 3
        * [
            kinetics_indices(8, 6, total, 10, view, 2)
            if method == "dense"
            else ssv2_indices(8, total)
        ]
    ]
    assert model.shown == expected


@pytest.mark.parametrize("method", ["dense", "bins"])
def test_networks_over_frames_get_the_frames_of_the_code_of_tsm(
    tmp_path: Path, method: Literal["dense", "bins"]
) -> None:
    path = write_frames(tmp_path / "a.mp4", np.zeros((70, 32, 32, 3), np.uint8))
    source = LabeledDataset("a", tmp_path, "val", CLASSES, (Item(str(path), 0, None),))
    config = Conv2dConfig("tsm", 2, 8, 32, width=8, blocks=(1, 1, 1, 1))
    clip = replace(CLIP, frames=8, train_sampling=method)
    network = Classifier(build_model(config).eval(), clip, CLASSES)
    evaluator = DatasetEvaluator(network, source, EvalViews(ViewConfig(1, 2), sampling="official"))
    with open_video(str(path)) as video:
        planned = evaluator.planner(video, Window(0, video.duration))
    expected = {
        "dense": [(*range(0, 64, 8),), (*range(6, 70, 8),)],
        "bins": [(4, 13, 21, 30, 39, 48, 56, 65), (0, 8, 17, 26, 35, 43, 52, 61)],
    }
    assert [view.indices for view in planned] == expected[method]


class Brightest(nn.Module):
    """Predicts the frame that is brightest."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips.mean((1, 3, 4))


def batches(labels: list[int], brightest: list[int], size: int) -> list[Batch]:
    clips = torch.zeros(len(labels), 3, 6, 4, 4)
    for i, frame in enumerate(brightest):
        clips[i, :, frame] = 1
    return [
        Batch(clips[i : i + size], torch.tensor(labels[i : i + size]))
        for i in range(0, len(labels), size)
    ]


@pytest.mark.parametrize("size", [1, 3, 4])
def test_metrics_do_not_depend_on_the_batches_and_the_mode_is_restored(size: int) -> None:
    model = Brightest().train()
    metrics = measure(*predict_logits(model, batches([0, 1, 2, 2], [0, 1, 2, 5], size)))
    assert (metrics.top1, metrics.clips) == (0.75, 4)
    assert metrics.mean_class == pytest.approx((1 + 1 + 0.5) / 3)
    assert metrics.confusion[2].tolist() == [0, 0, 1, 0, 0, 1]
    assert metrics.to_dict("abcdef")["labels"] == list("abcdef")
    assert model.training


def test_no_clips_are_an_error_not_a_score() -> None:
    with pytest.raises(DataError, match="no clips"):
        predict_logits(Brightest(), [])
    with pytest.raises(DataError, match="no clips"):
        measure(np.zeros((0, 3)), np.zeros(0, np.int64))


def test_ties_are_wrong_in_every_metric() -> None:
    metrics = measure(np.array([[1.0, 1, 0], [0, 0, 2]]), np.array([0, 2]))
    assert (metrics.top1, metrics.mean_class) == (0.5, 0.5)
    assert metrics.confusion.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
