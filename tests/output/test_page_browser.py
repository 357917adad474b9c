"""The report in a real browser: what a person does with it, and what a hostile name cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import write_film
from tests.output.chromium import FOUND, Page, browser
from vidattn import output
from vidattn.stills import stills
from vidattn.timeline import Decoding, Timeline
from vidattn.types import Window

pytestmark = pytest.mark.skipif(FOUND is None, reason="Chromium is not installed")

EVIL = (
    "</script><script>window.hacked = 1</script>",
    '" onerror="window.hacked = 1',
    "<img src=x onerror=window.hacked=1>",
    "{{ 7 * 7 }}<!--",
    "film\u202egpj.exe",
    "very long " * 60,
)
ROWS = (
    "[...document.querySelectorAll('#rows tr')]"
    ".map((tr) => [...tr.cells].slice(1).map((cell) => cell.innerText))"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def timeline(**changes: Any) -> Timeline:
    """Four seconds in eight windows; walk, run and jump in turn, less and less sure."""
    order = np.array([0, 0, 1, 0, 2, 2, 2, 1])
    scores = np.full((8, 3), 0.1)
    scores[np.arange(8), order] = [0.8, 0.8, 0.8, 0.7, 0.6, 0.6, 0.6, 0.45]
    values: dict[str, Any] = {
        "source": "walk.mp4",
        "labels": ("walk", "run", "jump"),
        "windows": tuple(Window(i / 2, i / 2 + 0.5) for i in range(8)),
        "scores": scores / scores.sum(axis=1, keepdims=True),
        "decoding": Decoding(),
    }
    return Timeline(**{**values, **changes})


def labels(page: Page) -> list[str]:
    return [row[3].strip() for row in page.ask(ROWS)]


def slide(page: Page, slider: str, value: float) -> None:
    page.ask(
        f"(() => {{ const s = document.getElementById('{slider}'); s.value = {value};"
        " s.dispatchEvent(new Event('input')); })()"
    )
    page.ask("new Promise((done) => setTimeout(done, 250))")


def expected(timeline: Timeline) -> list[str]:
    return [segment.label for segment in timeline.segments]


def test_the_sliders_find_what_python_finds(page: Page, tmp_path: Path) -> None:
    film = timeline()
    page.open(output.write(film, tmp_path / "a.html"))
    assert labels(page) == expected(film) == ["walk", "run", "walk", "jump", "run"]
    slide(page, "threshold", 0.72)
    assert labels(page) == expected(film.decoded(threshold=0.72))
    assert "background" in labels(page)
    slide(page, "least", 1)
    assert labels(page) == expected(film.decoded(threshold=0.72, min_duration=1.0))
    assert "--threshold 0.72 --min-duration 1" in page.ask("document.body.innerText")
    page.ask("document.getElementById('reset').click()")
    page.ask("new Promise((done) => setTimeout(done, 250))")
    assert labels(page) == expected(film)
    assert page.complaints() == []


def test_a_slider_joins_segments_across_short_background(page: Page, tmp_path: Path) -> None:
    strong, weak = [0.8, 0.1, 0.1], [0.4, 0.3, 0.3]
    film = timeline(scores=np.array([strong, weak, strong, strong, weak, weak, strong, strong]))
    film = film.decoded(threshold=0.5)
    page.open(output.write(film, tmp_path / "a.html"))
    assert labels(page) == ["walk", "background", "walk", "background", "walk"]
    slide(page, "gap", 0.5)
    assert labels(page) == expected(film.decoded(merge_gap=0.5)) == ["walk", "background", "walk"]
    text = page.ask("document.body.innerText")
    assert "--threshold 0.5 --min-duration 0 --merge-gap 0.5" in text
    slide(page, "gap", 1)
    assert labels(page) == ["walk"]
    page.ask("document.getElementById('reset').click()")
    page.ask("new Promise((done) => setTimeout(done, 250))")
    assert len(labels(page)) == 5
    assert page.complaints() == []


def test_a_click_and_keys_seek_the_film_beside_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    film = timeline(source=str(write_film(tmp_path / "films" / "walk #1?.mp4")))
    path = output.write(film, tmp_path / "out" / "a.html", stills=stills(film))
    assert str(tmp_path) not in path.read_text("utf-8")
    page.open(path)
    page.wait("document.getElementById('video').readyState > 0")
    assert page.ask("document.getElementById('unplayable').hidden")
    assert page.ask("document.querySelectorAll('#rows img').length") == 5
    assert page.ask("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    page.ask("document.querySelectorAll('#rows button')[2].click()")
    assert page.ask("document.getElementById('video').currentTime") == pytest.approx(1.5)
    page.press("ArrowRight")
    assert page.ask("document.getElementById('video').currentTime") == pytest.approx(2.0)
    assert page.ask("document.querySelector('tr[aria-current]').innerText.includes('jump')")
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert page.ask("document.getElementById('video').currentTime") == pytest.approx(1.0)
    page.press(" ", text=" ")
    page.wait("!document.getElementById('video').paused")
    page.press(" ", text=" ")
    assert page.ask("document.getElementById('video').paused")
    assert {address.split(":")[0] for address in page.addresses()} <= {"file", "data"}
    assert page.complaints() == []


def test_without_the_film_the_page_works_and_says_so(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(source="gone.mp4"), tmp_path / "a.html"))
    page.wait("!document.getElementById('unplayable').hidden")
    assert len(labels(page)) == 5
    page.press("ArrowRight")
    assert "run" in page.ask("document.getElementById('now').innerText")


def test_the_list_sorts_and_filters(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(), tmp_path / "a.html"))
    page.ask("document.querySelector('th[data-sort=score] button').click()")
    assert labels(page)[-1] == "run"
    assert page.ask("document.querySelector('th[data-sort=score]').ariaSort") == "descending"
    page.press("/", text="/")
    assert page.ask("document.activeElement.id") == "filter"
    page.tell("Input.insertText", text="JU")
    page.ask("new Promise((done) => setTimeout(done, 250))")
    assert labels(page) == ["jump"]
    page.press("Escape")
    page.ask("new Promise((done) => setTimeout(done, 250))")
    assert len(labels(page)) == 5


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_names_and_labels_are_inert(page: Page, tmp_path: Path, evil: str) -> None:
    film = timeline(
        source=f"{evil.replace('/', '')}.mp4",
        labels=(evil, "run", "jump"),
        warnings=(evil,),
        model={"name": evil, "license": evil},
        input={"codec": evil},
    )
    page.open(output.write(film, tmp_path / "a.html"))
    page.wait("!document.getElementById('unplayable').hidden")
    assert page.ask("window.hacked") is None
    assert page.ask("document.scripts.length") == 2
    assert page.ask("document.images.length") == 0
    assert evil.replace("\u202e", "\ufffd").strip() in labels(page)
    assert "\u202e" not in page.ask("document.documentElement.textContent")
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")


def test_the_policy_runs_nothing_that_is_not_the_page_s_own(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(), tmp_path / "a.html"))
    page.ask(
        "document.body.insertAdjacentHTML('beforeend',"
        ' \'<img src="data:," onerror="window.hacked = 1"><a style="color: red">x</a>\');'
        " document.body.append(Object.assign(document.createElement('script'),"
        " { textContent: 'window.hacked = 2' }))"
    )
    page.ask("new Promise((done) => setTimeout(done, 100))")
    assert page.ask("window.hacked") is None
    assert (
        page.ask("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    )
    assert not any(address.startswith("http") for address in page.addresses())


def test_light_and_dark_follow_the_system_and_the_button(page: Page, tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.tell(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    page.open(output.write(timeline(), tmp_path / "a.html"))
    dark = page.ask(ground)
    page.ask("document.getElementById('theme').click()")
    light = page.ask(ground)
    page.tell(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}]
    )
    page.open(tmp_path / "a.html")
    assert page.ask(ground) == light != dark
