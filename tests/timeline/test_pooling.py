import numpy as np
import pytest

from vidattn.errors import UsageError
from vidattn.timeline.pooling import Pool

ROWS = np.array([[0.8, 0.2, 0.0], [0.6, 0.4, 0.0], [0.1, 0.0, 0.9], [0.5, 0.5, 0.0]])


@pytest.mark.parametrize(
    "text, scores",
    [
        ("mean", [0.5, 0.275, 0.225]),  # what a file shows most
        ("max", [0.8, 0.5, 0.9]),  # what a file shows anywhere
        ("top2", [0.7, 0.45, 0.45]),  # chosen for each label by itself
    ],
)
def test_a_pool_makes_one_row_of_all_and_says_its_name(text: str, scores: list[float]) -> None:
    assert (Pool.parse(text)(ROWS), str(Pool.parse(text))) == (pytest.approx(scores), text)


def test_top_lies_between_maximum_and_mean() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 9)
    assert Pool.parse("top1")(rows) == pytest.approx(Pool.parse("max")(rows))
    assert Pool.parse("top9")(rows) == pytest.approx(Pool.parse("mean")(rows))
    assert Pool.parse("top99")(rows) == pytest.approx(Pool.parse("mean")(rows))


@pytest.mark.parametrize("text", ["", "median", "top", "top0", "top-3", "topk", "Max"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected mean, max, topN"):
        Pool.parse(text)
