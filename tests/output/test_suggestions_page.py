"""The page of windows to label next: keys and fields in a browser, and the table that it saves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import read_csv, write_video
from tests.output.chromium import Page
from tests.output.test_report_editing import keys, with_split
from vidattn.data.sets.csv_list import open_table
from vidattn.inference.suggest import draw_window
from vidattn.output.report.suggestions import suggestions_csv, suggestions_page
from vidattn.types import Suggestion, Window

EVIL = '</script><img src=x onerror="window.hacked=1">'
LABELS = ("walk", "run", EVIL)


def write_page(
    folder: Path, *, several: bool = False, count: int = 3, areas: tuple[str, ...] = ("",)
) -> Path:
    """Windows of a video in a folder beside the page; of its areas in turn."""
    video = write_video(folder / "videos" / "park; 1.mp4", seconds=3)
    found = [
        Suggestion(
            *(str(video), Window(i, i + 1), "walk", 0.5, 0.9, (0.5, 0.4, 0.1), "walk or run"),
            roi=areas[i % len(areas)],
        )
        for i in range(count)
    ]
    pictures = {0: draw_window(str(video), Window(0, 1))}
    assert pictures[0].startswith(b"\xff\xd8")
    place = folder / "out" / "suggestions.html"
    place.parent.mkdir()
    place.write_text(suggestions_page(found, LABELS, place.parent, pictures, several=several))
    return place


def test_a_page_shows_each_window_with_its_scores_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = write_page(Path()).read_text()
    assert "windows of 1 s" in text
    assert (text.count("data:image/jpeg;base64,"), text.count("no picture")) == (1, 2)
    assert 'href="../videos/park%3B%201.mp4#t=1.00,2.00"' in text
    assert "walk 50 %, run 40 %" in text
    assert text.count("walk or run") == 3
    assert EVIL not in text


def test_a_window_that_does_not_decode_has_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    assert draw_window(str(tmp_path / "a.mp4"), Window(0, 1)) == b""


@pytest.mark.parametrize("name", ["-a.mp4", "=a.mp4", " +a.mp4", "@a.mp4"])
def test_a_path_that_begins_like_a_formula_is_found_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / name, seconds=1)
    found = [Suggestion(name, Window(0, 1), "walk", 0.5, 0.9, (0.5, 0.4, 0.1), "walk or run")]
    assert f'"./{name}"' in suggestions_page(found, LABELS, Path(), {})
    table = tmp_path / "suggestions.csv"
    table.write_bytes(suggestions_csv(found, Path()).replace(b",,", b",walk,"))
    (item,) = open_table(with_split(table), "train").items
    assert Path(item.path).samefile(name)


def test_keys_label_the_windows_and_the_saved_table_is_training_data(
    page: Page, tmp_path: Path
) -> None:
    place = write_page(tmp_path)
    page.open(place)
    page.click("td input")
    keys(page, "2", "s", "w", "i", "m", "1")  # a digit after text is text
    page.press("Enter")
    keys(page, "1")
    values = "[...document.querySelectorAll('td input')].map((f) => f.value)"
    assert page.ask(values) == ["run", "swim1", "walk"]
    assert page.ask("document.querySelector('[role=status]').innerText") == "3 of 3 labeled"
    page.press("Delete")
    assert page.ask(values) == ["run", "swim1", ""]
    page.open(place)
    assert page.ask(values) == ["run", "swim1", ""]  # the draft
    table = page.save("#save", place.parent / "suggestions.labels.csv")
    assert [row["label"] for row in read_csv(table)] == ["run", "swim1"]
    first, second = open_table(with_split(table), "train").items
    assert Path(first.path).samefile(tmp_path / "videos" / "park; 1.mp4")
    assert (first.window, second.window) == (Window(0, 1), Window(1, 2))
    assert page.ask("window.hacked") is None


def test_labels_that_may_hold_at_once_are_put_together_and_taken_back(
    page: Page, tmp_path: Path
) -> None:
    page.open(write_page(tmp_path, several=True))
    page.click("td input")
    keys(page, "1", "2")
    page.press("ArrowDown")
    keys(page, "2", "1", "2")
    values = "[...document.querySelectorAll('td input')].map((f) => f.value)"
    assert page.ask(values) == ["walk;run", "walk", ""]


def test_keys_do_nothing_on_a_page_without_windows(page: Page, tmp_path: Path) -> None:
    page.open(write_page(tmp_path, count=0))
    keys(page, "1", "Delete", "ArrowDown", "Enter", "a")


def test_the_saved_table_says_which_area_a_window_is_of(page: Page, tmp_path: Path) -> None:
    place = write_page(tmp_path, count=2, areas=("left", "right"))
    page.open(place)
    page.click("td input")
    keys(page, "1", "2")
    table = page.save("#save", place.parent / "suggestions.labels.csv")
    items = open_table(with_split(table), "train").items
    assert [(item.roi, item.window) for item in items] == [
        ("left", Window(0, 1)),
        ("right", Window(1, 2)),
    ]
