"""Numbers and nouns that agree."""

import pytest

from vidattn.io.text import count_noun, describe_interval


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [(1, "video", "1 video"), (0, "video", "0 videos"), (2, "class", "2 classes")],
)
def test_a_noun_agrees_with_its_number(count: int, noun: str, words: str) -> None:
    assert count_noun(count, noun) == words


@pytest.mark.parametrize(
    ("share", "low", "high", "words"),
    [
        (0.996, 0.9955, 0.999, "99 to 100 %"),
        (0.912, 0.903, 0.9134, "90 to 92 %"),
        (0.29, 0.12, 0.5, "12 to 50 %"),  # 100 * 0.29 is a little less than 29
        (0.9997, 0.996, 1.0, "100 to 100 %"),  # shown as 100.0 %
        (0.0, 0.0, 0.14, "0 to 14 %"),
    ],
)
def test_an_interval_holds_its_estimate(share: float, low: float, high: float, words: str) -> None:
    assert describe_interval(share, low, high) == words
