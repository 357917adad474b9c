"""The annotated video and clips cut out of one, against videos whose frames carry their number."""

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
from vidattn.output.video.annotate import (
    FileMade,
    FrameDrawn,
    annotate,
    annotate_events,
    excerpt_events,
    excerpts,
)
from vidattn.timeline import Timeline
from vidattn.types import Window
from vidattn.video import open_video


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
