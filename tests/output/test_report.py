"""The report as a file: whole in itself, small, and without a word of where it was made."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import two_windows, write_video
from vidattn import output
from vidattn.output.report import html
from vidattn.output.text import format_time
from vidattn.output.thumbnails import thumbnails
from vidattn.timeline import Decoding, Timeline
from vidattn.types import Window


class Reader(HTMLParser):
    """The text of script and style elements, and all attributes that name something to load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.policy, self._inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        words = {key: value or "" for key, value in attrs}
        self.loads += [v for k, v in words.items() if k in ("src", "href", "data", "poster")]
        self.handlers += [k for k in words if k.startswith("on") or k == "style"]
        if words.get("http-equiv") == "Content-Security-Policy":
            self.policy = words["content"]

    def handle_data(self, data: str) -> None:
        if self._inside in self.blocks:
            self.blocks[self._inside].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def timeline(source: str = "videos/walk.mp4", seconds: float = 4.0) -> Timeline:
    windows = (Window(0, seconds / 2), Window(seconds / 2, seconds))
    return two_windows(source=source, windows=windows)


def long(windows: int, classes: int, **decoding: object) -> Timeline:
    """A video that shows something else every 20 seconds, among labels that come close."""
    rng = np.random.default_rng(0)
    shown = np.repeat(rng.integers(0, classes, windows // 20 + 1), 20)[:windows]
    logits = rng.normal(0, 1.6, (windows, classes))
    logits[np.arange(windows), shown] += rng.normal(5, 2, windows)
    scores = np.exp(logits)
    return Timeline(
        "long.mp4",
        tuple(f"label number {k}" for k in range(classes)),
        tuple(Window(i, i + 2.0) for i in range(windows)),
        scores / scores.sum(axis=1, keepdims=True),
        decoding=Decoding(**{"smooth": "none", **decoding}),  # type: ignore[arg-type]
    )


def test_the_page_refers_to_the_video_from_where_it_lies(tmp_path: Path) -> None:
    source = str(tmp_path / "videos" / "a b#.mp4")
    text = output.write(timeline(source), tmp_path / "pages" / "deep" / "a.html").read_text("utf-8")
    assert Reader(text).loads[0] == "../../videos/a%20b%23.mp4"
    assert str(tmp_path) not in text
    assert Reader(html(timeline("/a/javascript:alert(1)"))).loads[0] == "javascript%3Aalert%281%29"


def test_the_same_timeline_gives_the_same_page(tmp_path: Path) -> None:
    one, two = (output.write(timeline(), tmp_path / name) for name in ("a.html", "b.html"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("decoding", [{}, {"smooth": "mean"}], ids=str)
def test_two_hours_of_400_labels_stay_below_3_megabytes(decoding: dict[str, object]) -> None:
    # A page grows with the windows: a sixth of the video is enough to know.
    size = len(html(long(1200, 400, **decoding)).encode()) - len(html(long(2, 400)).encode())
    assert 6 * size < 2.5e6


def test_thumbnails_come_from_the_segments_of_the_video(tmp_path: Path) -> None:
    video = str(write_video(tmp_path / "walk.mp4", seconds=4))
    stills = thumbnails(timeline(video))
    assert [round(t) for t in stills] == [1, 3]
    assert all(data.startswith(b"\xff\xd8\xff") for data in stills.values())
    assert len(re.findall(r"/9j/", html(timeline(video), stills=stills))) >= 2


def test_a_video_that_is_gone_or_another_one_has_no_thumbnails(tmp_path: Path) -> None:
    video = str(write_video(tmp_path / "walk.mp4", seconds=4))
    assert thumbnails(timeline(video, seconds=9.0)) == {}
    (tmp_path / "text.mp4").write_text("no video")
    assert thumbnails(timeline(str(tmp_path / "text.mp4"))) == {}
    assert thumbnails(timeline(str(tmp_path / "gone.mp4"))) == {}


def test_hours_are_told_only_where_there_are_some() -> None:
    assert [format_time(t, False) for t in (0, 9.96, 61.25, 3599.99)] == [
        "0:00.0",
        "0:10.0",
        "1:01.3",
        "60:00.0",
    ]
    assert format_time(7325.5, True) == "2:02:05.5"
