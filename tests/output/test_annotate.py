"""The annotated video and its overlay, and clips cut out of one whose frames carry their number."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.video.conftest import numbers
from tests.video.helpers import FFPROBE, TICKS, beeps_at, probed, write_numbered
from vidattn.errors import InputError, UsageError, VideoError
from vidattn.io.files import sha256_file
from vidattn.output import write
from vidattn.output.file_names import excerpt_name
from vidattn.output.video import text
from vidattn.output.video.annotate import (
    FileMade,
    FrameDrawn,
    annotate,
    annotate_events,
    excerpt_events,
    excerpts,
)
from vidattn.output.video.overlay import Overlay
from vidattn.output.video.text import TextRenderer
from vidattn.timeline import Timeline
from vidattn.timeline.palette import COLORS, NONE
from vidattn.timeline.segments import Segment
from vidattn.types import Window
from vidattn.video import open_video

SIZES = [(176, 144), (320, 180), (1920, 1080), (3840, 2160), (720, 1280), (640, 144)]
SEGMENTS = (
    Segment(Window(0, 4), "walk", 0.83, 0),
    Segment(Window(4, 6), "background", 0.2, None),
    Segment(Window(6, 10), "playing an instrument of a very long name, " * 5, 0.97, 1),
)
HUES = {None: NONE, 0: COLORS[0], 1: COLORS[1]}


def timeline_of(path: Path, labels: tuple[str, ...] = ("walk", "run", "jump/rest")) -> Timeline:
    """Four windows: walk, run, run, jump; the last second of the video is in no window."""
    with open_video(path) as video:
        times, duration = video.times, video.duration
    edges = np.linspace(0, duration, 5)
    scores = np.full((4, 3), 0.1)
    scores[range(4), [0, 1, 1, 2]] = 0.8
    return Timeline(
        source=str(path),
        labels=labels,
        windows=tuple(Window(a, b) for a, b in pairwise(edges)),
        scores=scores,
        duration=duration,
        frame_times=times,
    )


@pytest.fixture(scope="module", params=TICKS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clock, ticks = TICKS[request.param]
    path = tmp_path_factory.mktemp("video") / "a b.mp4"
    return write_numbered(path, clock, ticks, sound="aac", options={"bf": "2"})


def test_every_excerpt_holds_the_exact_frames_of_its_segment(source: Path, tmp_path: Path) -> None:
    timeline = timeline_of(source)
    written = excerpts(timeline, tmp_path, exact=True)
    assert [path.name for path in written] == [
        "a b.01.walk.mp4", "a b.02.run.mp4", "a b.03.jump-rest.mp4"
    ]  # fmt: skip
    with open_video(source) as video:
        times = video.times
    for path, segment in zip(written, timeline.segments, strict=True):
        with open_video(path) as excerpt:
            assert segment.start_frame is not None
            assert segment.end_frame is not None
            expected = range(segment.start_frame, segment.end_frame)
            assert numbers(excerpt.read(range(excerpt.frames))) == list(expected)
            shifted = times[expected.start : expected.stop] - times[expected.start]
            assert excerpt.times == pytest.approx(shifted, abs=1e-4)
            assert excerpt.details.audio


@pytest.mark.skipif(FFPROBE is None, reason="ffprobe is not installed")
def test_the_label_changes_with_the_exact_frame(source: Path, tmp_path: Path) -> None:
    timeline = timeline_of(source)
    events = list(annotate_events(timeline, tmp_path / "b.mp4"))
    assert [type(e) for e in events] == [FrameDrawn] * 50 + [FileMade]
    probe = probed(tmp_path / "b.mp4")
    assert (probe["width"], probe["height"]) == (540, 360)  # enlarged, so that letters fit
    assert probe["sound"]["codec_name"] == "aac"
    assert beeps_at(tmp_path / "b.mp4") == pytest.approx(1.0, abs=0.03)
    with open_video(source) as one, open_video(tmp_path / "b.mp4") as other:
        assert other.times == pytest.approx(one.times, abs=1e-4)
        frames = other.read(range(50))
    assert numbers(frames)[:32] == list(range(32))  # the upper half is as it was
    swatches = frames[:, 316, 35].astype(int)
    changes = np.flatnonzero(np.abs(np.diff(swatches, axis=0)).sum(axis=1) > 60) + 1
    assert changes.tolist() == [s.start_frame for s in timeline.segments[1:]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clock, ticks = TICKS["25"]
    return write_numbered(tmp_path_factory.mktemp("plain") / "plain.mp4", clock, ticks)


def test_excerpts_at_key_frames_are_copied_and_others_are_not(plain: Path, tmp_path: Path) -> None:
    # Key frames every 0.4 s and segments at 0, 0.5 and 1.5 s: always one within 0.2 s.
    written = [
        e for e in excerpt_events(timeline_of(plain), tmp_path, name="o") if isinstance(e, FileMade)
    ]
    assert [e.copied for e in written] == [True, True, True]
    first = []
    for event in written:
        with open_video(event.path) as excerpt:
            first += numbers(excerpt.read([0]))
    assert first == [0, 10, 40]
    clock, ticks = TICKS["25"]
    rare = write_numbered(tmp_path / "rare.mp4", clock, ticks, options={"g": "50"})
    written = [e for e in excerpt_events(timeline_of(rare), tmp_path) if isinstance(e, FileMade)]
    assert [e.copied for e in written] == [True, False, False]  # it ends at any frame
    with open_video(written[1].path) as excerpt:
        assert numbers(excerpt.read([0, excerpt.frames - 1])) == [13, 37]


def test_an_excerpt_ends_with_its_segment_in_a_pause_too(tmp_path: Path) -> None:
    clock, ticks = TICKS["25"]
    later = [int(tick) + (round(3 / clock) if i > 30 else 0) for i, tick in enumerate(ticks)]
    source = write_numbered(tmp_path / "pause.mp4", clock, later)
    timeline = timeline_of(source)
    first = timeline.segments[0].window
    assert 1.2 < first.stop < 4.2  # in the pause
    with open_video(excerpts(timeline, tmp_path, exact=True)[0]) as video:
        assert video.duration == pytest.approx(first.stop, abs=2e-3)


def test_a_part_gives_a_video_of_that_part(plain: Path, tmp_path: Path) -> None:
    timeline = timeline_of(plain)
    part = dataclasses.replace(
        timeline, windows=timeline.windows[1:3], scores=timeline.scores[1:3], cell_frames=None
    )
    annotate(part, tmp_path / "b.mp4")
    with open_video(tmp_path / "b.mp4") as video:
        assert numbers(video.read([0, video.frames - 1])) == [13, 37]


def test_stopping_leaves_nothing_and_keeps_what_was_there(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "b.mp4").write_text("before")
    events = annotate_events(timeline_of(plain), tmp_path / "b.mp4")
    for _ in range(10):
        next(events)
    events.close()  # type: ignore[attr-defined]
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]
    assert (tmp_path / "b.mp4").read_text() == "before"


def test_another_video_is_refused_and_a_moved_one_can_be_named(plain: Path, tmp_path: Path) -> None:
    timeline = timeline_of(plain)
    moved = dataclasses.replace(timeline, source="gone/plain.mp4")
    with pytest.raises(InputError, match="the video is missing") as caught:
        annotate(moved, tmp_path / "b.mp4")
    assert "--video" in (caught.value.hint or "")
    annotate(moved, tmp_path / "b.mp4", video=plain)
    assert excerpts(moved, tmp_path, video=plain)[0].name == "plain.01.walk.mp4"
    longer = dataclasses.replace(timeline, duration=9.0)
    with pytest.raises(InputError, match=r"lasts 2.00 s, and the video of the timeline 9.00 s"):
        annotate(longer, tmp_path / "c.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError):
        annotate(timeline, tmp_path / "c.mp4", video=tmp_path / "text.mp4")
    assert not (tmp_path / "c.mp4").exists()
    with pytest.raises(UsageError, match="is a video"):
        write(timeline, tmp_path / "c.mp4")


def test_the_same_video_gives_the_same_bytes(plain: Path, tmp_path: Path) -> None:
    one, other = (annotate(timeline_of(plain), tmp_path / f"{n}.mp4") for n in "ab")
    assert sha256_file(one) == sha256_file(other)
    settings = one.read_bytes()  # x264 tells of itself
    assert b" sliced_threads=0 " in settings
    assert b" mbtree=0 " in settings


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("pan right", "m.007.pan-right.mp4"),
        ("../../etc/passwd", "m.007.etc-passwd.mp4"),
        ("\x1b[31m\n", "m.007.31m.mp4"),
        ("???", "m.007.label.mp4"),
        ("走路", "m.007.走路.mp4"),
        ("x" * 300, f"m.007.{'x' * 80}.mp4"),
    ],
)
def test_names_of_excerpts_are_those_of_files(label: str, name: str) -> None:
    assert excerpt_name("/a/m.mkv", 7, 120, label) == name
    assert excerpt_name("m" * 300, 7, 120, label).endswith(name[1:])
    assert len(excerpt_name("m" * 300, 7, 120, label).encode()) <= 255


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
