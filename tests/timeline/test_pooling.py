import numpy as np
import pytest

from vidattn.errors import UsageError
from vidattn.timeline.pooling import Pool

ROWS = np.array([[0.8, 0.2, 0.0], [0.6, 0.4, 0.0], [0.1, 0.0, 0.9], [0.5, 0.5, 0.0]])


def test_the_mean_is_what_a_file_shows_most() -> None:
    assert Pool.parse("mean")(ROWS) == pytest.approx([0.5, 0.275, 0.225])


def test_the_maximum_is_what_a_file_shows_anywhere() -> None:
    assert Pool.parse("max")(ROWS) == pytest.approx([0.8, 0.5, 0.9])


def test_the_top_are_chosen_for_each_label_by_itself() -> None:
    assert Pool.parse("top2")(ROWS) == pytest.approx([0.7, 0.45, 0.45])


def test_top_lies_between_maximum_and_mean() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 9)
    assert Pool.parse("top1")(rows) == pytest.approx(Pool.parse("max")(rows))
    assert Pool.parse("top9")(rows) == pytest.approx(Pool.parse("mean")(rows))
    assert Pool.parse("top99")(rows) == pytest.approx(Pool.parse("mean")(rows))


@pytest.mark.parametrize("text", ["", "median", "top", "top0", "top-3", "topk", "Max"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected mean, max, topN"):
        Pool.parse(text)


@pytest.mark.parametrize("text", ["mean", "max", "top5"])
def test_a_pool_says_its_name(text: str) -> None:
    assert str(Pool.parse(text)) == text
