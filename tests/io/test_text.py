"""Numbers and nouns that agree."""

import pytest

from vidattn.io.text import count_noun


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [(1, "video", "1 video"), (0, "video", "0 videos"), (2, "class", "2 classes")],
)
def test_a_noun_agrees_with_its_number(count: int, noun: str, words: str) -> None:
    assert count_noun(count, noun) == words
