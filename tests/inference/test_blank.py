"""Blank videos: the risk of leaving one out, and what results say of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.helpers import tiny_classifier, two_windows
from vidattn.errors import UsageError
from vidattn.inference.batch.options import ClassifyOptions
from vidattn.inference.blank import blank_risk, measure_activity, require_blank
from vidattn.output.rows import table_columns, table_rows
from vidattn.timeline import Timeline
from vidattn.types import BlankVerdict, Window


def test_the_risk_is_the_share_of_active_videos_that_look_as_empty() -> None:
    examples = [0.1, 0.4, 0.4, 0.9]
    assert [blank_risk(examples, a) for a in (0.05, 0.1, 0.4, 1.0)] == [0.2, 0.4, 0.8, 1.0]
    assert blank_risk([], 0.0) == 1.0


@pytest.mark.parametrize(("count", "loss"), list(product((19, 20, 99), (0.05, 0.2))))
def test_no_more_videos_are_lost_than_was_allowed(count: int, loss: float) -> None:
    # A new video is at each place among the labeled ones with the same odds.
    everyone = np.sort(np.random.default_rng(0).random(count + 1))
    lost = [blank_risk(np.delete(everyone, i).tolist(), new) <= loss
            for i, new in enumerate(everyone)]  # fmt: skip
    assert np.mean(lost) <= loss
    assert np.mean(lost) > loss - 1 / count


def test_the_activity_is_that_of_the_window_in_which_most_happens() -> None:
    scores = np.array([[0.01, 0.99], [0.7, 0.3], [0.02, 0.98]])
    assert measure_activity(scores, 1) == 0.7
    assert measure_activity(np.repeat(scores, 9, axis=0), 1) == 0.7  # a moment of a long video
    assert measure_activity(np.array([[0.0, 1.0]]), 1) == 0


def test_a_video_as_active_as_the_labeled_ones_is_not_blank() -> None:
    # Kept to six digits, the labeled ones are ties of one that is a little below them.
    assert blank_risk([1.0] * 6, measure_activity(np.array([[0.9999998, 2e-7]]), 1)) == 1.0


def test_a_model_must_have_learned_what_is_blank() -> None:
    model = replace(tiny_classifier(), labels=("wolf", "Empty", "deer"))
    with pytest.raises(UsageError, match="has not learned what a blank video is"):
        require_blank(model)
    assert require_blank(replace(model, active_examples=(0.5,))) == 1
    with pytest.raises(UsageError, match="all windows"):
        ClassifyOptions(blank=0.05, frames=8)


def test_results_say_whether_a_video_is_blank() -> None:
    one = two_windows(
        task="classify",
        windows=(Window(0, 4),),
        scores=np.array([[0.3, 0.7]]),
        blank=BlankVerdict(0.0125, 0.05),
    )
    document = one.to_dict()
    assert document["blank"] == {"is_blank": True, "risk": 0.0125, "loss": 0.05}
    assert Timeline.from_json(one.to_json()).blank == one.blank
    (row,) = table_rows(document)
    cells = dict(zip(table_columns(document), row, strict=True))
    assert (cells["blank"], cells["blank_risk_percent"]) == ("yes", "1.250")
    assert not BlankVerdict(0.06, 0.05).is_blank
