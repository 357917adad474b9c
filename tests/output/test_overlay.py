"""What is burnt into a video: legible at every size, inside the safe area, with any label."""

from __future__ import annotations

import numpy as np
import pytest

from vidattn.output.video import text
from vidattn.output.video.overlay import Overlay
from vidattn.output.video.text import TextRenderer
from vidattn.timeline.palette import COLORS, NONE
from vidattn.timeline.segments import Segment
from vidattn.types import Window

SIZES = [(176, 144), (320, 180), (1920, 1080), (3840, 2160), (720, 1280), (640, 144)]
SEGMENTS = (
    Segment(Window(0, 4), "walk", 0.83, 0),
    Segment(Window(4, 6), "background", 0.2, None),
    Segment(Window(6, 10), "playing an instrument of a very long name, " * 5, 0.97, 1),
)
HUES = {None: NONE, 0: COLORS[0], 1: COLORS[1]}


def frames(size: tuple[int, int], time: float, ground: int = 250, **more: bool) -> np.ndarray:
    """A gray frame with the overlay of a moment."""
    frame = np.full((size[1], size[0], 3), ground, np.uint8)
    Overlay(SEGMENTS, HUES, size, Window(0, 10), whole=more.get("whole", False)).draw(frame, time)
    return frame


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ground", [0, 128, 255])
def test_letters_stand_out_and_lie_in_the_safe_area(size: tuple[int, int], ground: int) -> None:
    frame = frames(size, 1.0, ground)
    changed = np.argwhere((frame != ground).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    width, height = size
    assert left >= 0.04 * width
    assert right <= 0.96 * width
    assert bottom <= 0.96 * height
    assert top >= 0.6 * height  # most of the image stays free
    panel = frame[top : bottom + 1, left : right + 1].astype(float)
    letters = (panel.min(axis=2) > 230).sum(axis=1)
    lines = np.flatnonzero(letters[: int(0.6 * len(letters))])
    assert len(lines) >= max(8, 0.025 * min(size))  # pixels from the top of a letter to its foot
    contrast = (255 / 255 + 0.05) / ((np.median(panel.mean(axis=2)) / 255) ** 2.2 + 0.05)
    assert contrast > 7  # WCAG AAA


def test_long_labels_are_shortened_and_the_score_stays() -> None:
    lettering_ = TextRenderer(20)
    full = lettering_.mask("a label that does not fit", 1000)
    short = lettering_.mask("a label that does not fit", 90)
    assert short.shape[1] <= 90 < full.shape[1]
    assert (short[:, :40] == full[:, :40]).all()
    frame = frames((320, 180), 7.0)
    score = frames((320, 180), 1.0)
    right = slice(250, 302)
    assert (frame[140:160, right].max(axis=2) > 230).any()
    assert (score[140:160, right].max(axis=2) > 230).any()


@pytest.mark.parametrize("pixels", [15, 19, 40])
def test_spaces_between_words_are_seen(pixels: int) -> None:
    columns = TextRenderer(pixels).mask("wide field", 500).max(axis=0)
    assert np.diff(np.flatnonzero(columns > 60)).max() >= 0.2 * pixels


def test_the_track_shows_the_segments_and_where_the_video_is() -> None:
    row = frames((640, 360), 5.0)[335]
    inner = row[(row != 250).any(axis=1)]
    assert (inner == COLORS[0]).all(axis=1).mean() == pytest.approx(0.4, abs=0.02)
    assert np.flatnonzero((row == 255).all(axis=1)).mean() / 640 == pytest.approx(0.5, abs=0.01)
    later = np.array(COLORS[1]) * 0.42
    assert (np.abs(inner - later).max(axis=1) <= 1).mean() == pytest.approx(0.39, abs=0.03)


def test_background_and_what_nobody_saw_show_no_score() -> None:
    named, background = frames((640, 360), 1.0), frames((640, 360), 5.0)
    assert (named[300:330] > 230).all(axis=2).any()
    assert not (background[315:328, 29:611] > 230).all(axis=2).any()
    overlay = Overlay(SEGMENTS[:1], HUES, (640, 360), Window(0, 10), whole=False)
    dark = np.zeros((360, 640, 3), np.uint8)
    overlay.draw(dark, 8.0)
    assert not dark[305:326].any()


def test_one_answer_for_the_whole_video_fills_the_track_as_it_plays() -> None:
    overlay = Overlay(SEGMENTS[:1], HUES, (640, 360), Window(0, 10), whole=True)
    frame = np.zeros((360, 640, 3), np.uint8)
    overlay.draw(frame, 2.5)
    blue = (frame[335] == COLORS[0]).all(axis=1).sum() / 570
    assert blue == pytest.approx(0.25, abs=0.02)


def test_signs_without_a_font_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "FOLDERS", ())
    text._font_files.cache_clear()
    text._find_font.cache_clear()
    some = TextRenderer(20)
    assert (some.mask("go \u8d70", 500) == some.mask("go \\u8d70", 500)).all()
    assert some.missing == {"\u8d70"}
    monkeypatch.undo()
    text._font_files.cache_clear()
    text._find_font.cache_clear()


def test_marks_that_join_letters_are_not_taken_for_known() -> None:
    path = next((p for p in text._font_files() if "dejavusans." in p.lower()), None)
    if path is None:
        pytest.skip("no DejaVu fonts here")
    font = text._load_font(path, 20)  # it has no Devanagari
    assert not any(text._has(font, sign) for sign in "\u0915\u0948\u093e\u0902")
    assert text._has(font, "\u0301")


def test_a_font_of_the_computer_serves_other_scripts() -> None:
    if not any("dejavu" in path.lower() for path in text._font_files()):
        pytest.skip("no DejaVu fonts here")
    some = TextRenderer(20)
    mask = some.mask("ходьба", 500)
    assert some.missing == set()
    assert mask.max() > 200
    assert (mask != some.mask("бадьох", 500)[:, : mask.shape[1]]).any()


@pytest.mark.parametrize("label", ["", "\x1b[31mred\n\u202e", "a/b", "\ud800", " " * 50])
def test_hostile_labels_are_drawn_or_shown_as_signs(label: str) -> None:
    frame = np.zeros((144, 176, 3), np.uint8)
    Overlay(
        (Segment(Window(0, 1), label, 1.0, 0),), HUES, (176, 144), Window(0, 1), whole=False
    ).draw(frame, 0.5)
    assert frame.any()


@pytest.mark.parametrize("size", [(2, 2), (16, 400), (400, 16), (150, 144)])
def test_strange_sizes_are_drawn_on_where_there_is_room(size: tuple[int, int]) -> None:
    room = size != (2, 2)
    assert (frames(size, 1.0) != 250).any() == room
    assert (frames(size, 9.99, whole=True) != 250).any() == room
