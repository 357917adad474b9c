"""What is doubtful about labels says which sample it means."""

from __future__ import annotations

import numpy as np

from vidattn.training.doubts import Doubt, find_alike, find_mistakes, summarize
from vidattn.types import Item, Window


def test_doubts_name_the_area_of_a_sample_that_has_one() -> None:
    items = [
        Item("a.mp4", 0, Window(0, 2), roi="left"),
        Item("b.mp4", 0, roi="right"),
        Item("c.mp4", 1),
    ]
    vectors = np.array([[0, 1.0], [0, 1.0], [1.0, 0]])
    (leak,) = find_alike(vectors, items)
    assert leak.text.endswith(": a.mp4 (left) 0.00-2.00 s and b.mp4 (right)")
    truth = np.eye(2, dtype=np.bool_)[[0, 0, 1]]
    mistakes = [*find_mistakes(["sit", "run"], 0.95 - 0.9 * truth, truth, items, vectors)]
    assert [one.about.get("roi") for one in mistakes] == ["left", "right", None]
    assert mistakes[0].text.startswith("a.mp4 (left) 0.00-2.00 s: labeled sit, looks like run")
    assert "roi" not in mistakes[2].about


def test_findings_are_counted_by_kind() -> None:
    found = [Doubt("leak", "")] * 2 + [Doubt("repeat", ""), Doubt("rare", "")]
    assert summarize(found) == "2 pairs in two groups, 1 repeated sample"
    assert summarize(found[:1]) == "1 pair in two groups"
