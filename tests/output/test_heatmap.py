"""The section of the report that shows what labels rest on."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.output.chromium import Page
from tests.output.test_report import Reader, timeline
from vidattn import output
from vidattn.output.report import html
from vidattn.output.report.explanation import BARS, FRAMES, SIDE, describe_explanation
from vidattn.timeline.explanation import Explanation
from vidattn.types import Window

EVIL = '</script><img src=x onerror="window.hacked = 1">'


def explanation(
    count: int = 4, label: str = "swim", odds: list[float] | None = None
) -> Explanation:
    rng = np.random.default_rng(0)
    patches = rng.random((count, 3, 3)).astype(np.float32)
    return Explanation(
        source="videos/walk.mp4",
        window=Window(2.0, 4.0),
        labels=("dive", label),
        scores=np.array([0.2, 0.8], np.float32),
        label_id=1,
        frames=tuple(range(count)),
        times=tuple(2 + i / count for i in range(count)),
        method="relevance",
        patches=patches / patches.sum(),
        drops=np.zeros(count, np.float32),
        odds=np.array(odds or [5.0, -1.0] + [0.0] * (count - 2), np.float32),
        run=1,
        pictures=rng.integers(0, 255, (count, 64, 64, 3), dtype=np.uint8),
    )


def test_a_page_without_explanations_has_no_such_section() -> None:
    assert 'id="explanations"' not in html(timeline())


def test_the_section_is_a_part_of_the_one_file_and_of_its_policy(tmp_path: Path) -> None:
    path = output.write(timeline(), tmp_path / "a.html", explained=[explanation()])
    page = Reader(path.read_text("utf-8"))
    assert page.handlers == []
    images = [address for address in page.loads if address.startswith("data:")]
    assert len(images) == 1
    data = base64.b64decode(images[0].split(",")[1])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (SIDE, 4 * SIDE, 3)
    text = path.read_text("utf-8")
    assert all(points in text for points in ("+5.0", "-1.0", "0:00:02.25"))


def test_bars_stand_on_one_line_and_the_tallest_fills_its_half() -> None:
    shown = describe_explanation(explanation())
    up, down = shown["bars"][:2]
    assert (up.side, down.side) == ("for", "against")
    assert up.y + up.height == pytest.approx(shown["zero"]) == BARS / 2
    assert (up.height, down.y) == (BARS / 2, BARS / 2)
    above = describe_explanation(explanation(odds=[0.5, 0.1, 0.0, 0.2]))
    assert (above["zero"], above["bars"][0].height) == (BARS, BARS)


def test_of_a_long_window_an_even_choice_of_frames_is_shown() -> None:
    shown = describe_explanation(explanation(96))
    assert (len(shown["bars"]), shown["left_out"]) == (FRAMES, 96 - FRAMES)
    assert len(base64.b64decode(shown["picture"])) < 60_000


def test_in_a_browser_it_is_drawn_seeks_and_is_inert(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(), tmp_path / "a.html", explained=[explanation(label=EVIL)]))
    assert page.ask("document.getElementById('explanations').offsetHeight") > 200  # open
    page.wait("document.querySelector('#explanations img').naturalWidth")
    assert page.ask("document.querySelector('#explanations img').naturalWidth") == 4 * SIDE
    widths = "document.querySelector('#explanations {}').getBoundingClientRect().width"
    assert page.ask(widths.format("img")) == page.ask(widths.format("svg"))
    page.ask("document.getElementById('explanations').scrollIntoView()")
    edges = "[document.getElementById('stage'), document.getElementById('explanations')].map"
    bottom, top = page.ask(f"{edges}((e, i) => e.getBoundingClientRect()[i ? 'top' : 'bottom'])")
    assert bottom <= top + 1  # the player does not stand over them
    page.ask("document.querySelector('[data-time]').click()")
    assert page.ask("document.getElementById('player').getBoundingClientRect().top >= 0")
    assert "0:02.0" in page.ask("document.getElementById('now-time').innerText")
    assert page.ask("window.hacked") is None
    assert EVIL in page.ask("document.querySelector('figcaption').innerText")
