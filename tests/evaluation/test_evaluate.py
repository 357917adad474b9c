"""Evaluation counts every clip once and leaves the model alone."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidattn.data.motion.dataset import Batch
from vidattn.errors import DataError
from vidattn.evaluation.classification import measure
from vidattn.evaluation.evaluate import evaluate


class Brightest(nn.Module):
    """Answers with the frame that is brightest."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips.mean((1, 3, 4))


def batches(labels: list[int], answers: list[int], size: int) -> list[Batch]:
    clips = torch.zeros(len(labels), 3, 6, 4, 4)
    for i, answer in enumerate(answers):
        clips[i, :, answer] = 1
    return [
        Batch(clips[i : i + size], torch.tensor(labels[i : i + size]))
        for i in range(0, len(labels), size)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_scores_do_not_depend_on_the_batches(size: int) -> None:
    found = evaluate(Brightest(), batches([0, 1, 2, 2], [0, 1, 2, 5], size))
    assert (found.top1, found.clips) == (0.75, 4)
    assert found.mean_class == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.confusion[2].tolist() == [0, 0, 1, 0, 0, 1]


def test_the_model_stays_in_training_mode() -> None:
    model = Brightest().train()
    evaluate(model, batches([0], [0], 1))
    assert model.training


def test_no_clips_are_an_error_not_a_score() -> None:
    with pytest.raises(DataError, match="no clips"):
        evaluate(Brightest(), [])
    with pytest.raises(DataError, match="no clips"):
        measure(np.zeros((0, 3)), np.zeros(0, np.int64))


def test_ties_are_wrong_in_every_figure() -> None:
    found = measure(np.array([[1.0, 1, 0], [0, 0, 2]]), np.array([0, 2]))
    assert (found.top1, found.mean_class) == (0.5, 0.5)
    assert found.confusion.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_the_plain_form_names_the_classes() -> None:
    found = evaluate(Brightest(), batches([0, 1], [0, 1], 2))
    plain = found.to_dict("abcdef")
    assert plain["labels"] == list("abcdef")
    assert plain["confusion"][1] == [0, 1, 0, 0, 0, 0]
