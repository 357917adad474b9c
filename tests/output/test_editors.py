"""What editors and ELAN get, read back by readers that are not ours, to the frame."""

import json
import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn.errors import UsageError
from vidattn.output import render, write
from vidattn.output.edl import reel_name
from vidattn.output.timecode import TimecodeClock, editing_rate, place_segments
from vidattn.timeline import Decoding, Timeline
from vidattn.types import Settings, VideoInfo, Window

NTSC_24, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)
QUIET = Decoding(smooth="none", threshold=0.85)
"""Of two windows, the second is background."""


def timeline_cut_at(
    rate: Fraction, edges: list[int], *, count: int | None = None, **more: Any
) -> Timeline:
    """A video of constant rate whose label changes at frames: dive, swim, dive ..."""
    times = np.arange(count or edges[-1]) / float(rate)
    stops = [*times, len(times) / float(rate)]
    windows = [Window(float(stops[a]), float(stops[b])) for a, b in pairwise(edges)]
    return of_times(times, windows, rate, stops[-1], vfr=False, **more)


def of_times(
    times: Any, windows: list[Window], rate: Fraction, duration: float, **more: Any
) -> Timeline:
    video = VideoInfo(
        fps=rate, vfr=more.pop("vfr"), width=640, height=360, frames=len(times), audio=False
    )
    values: dict[str, Any] = {
        "source": "videos/my movie.mp4",
        "labels": ("dive", "swim"),
        "windows": tuple(windows),
        "scores": [[0.9, 0.1] if i % 2 == 0 else [0.2, 0.8] for i in range(len(windows))],
        "duration": float(duration),
        "input": video,
        "frame_times": np.asarray(times),
    }
    return Timeline(**(values | more))


def events(text: str) -> list[list[str]]:
    return re.findall(
        r"^\d+  \S+ +V     C        (\S+) (\S+) (\S+) (\S+)$", text, flags=re.MULTILINE
    )


RATES = (NTSC_24, Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(60000, 1001))


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("edges", [[0, 1, 2, 3], [0, 17, 1799, 1801, 5000], [0, 107_892, 170_000]])
def test_positions_are_the_numbers_of_the_frames(rate: Fraction, edges: list[int]) -> None:
    timeline = timeline_cut_at(rate, edges)
    assert editing_rate(timeline) == rate
    pairs = [(p.first, p.after) for p in place_segments(timeline)]
    assert pairs == list(pairwise(edges))
    # A saved timeline without frame numbers says the same: its milliseconds are enough.
    plain = Timeline.from_json(timeline_cut_at(rate, edges, frame_times=None).to_json())
    assert [(p.first, p.after) for p in place_segments(plain)] == pairs


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_a_timecode_names_one_frame_and_a_frame_one_timecode(rate: Fraction) -> None:
    for drop in {False, rate.denominator == 1001 and rate > 29}:
        clock = TimecodeClock(rate, drop)
        frames = [*range(1700, 4000), *range(17_900, 18_100), *range(107_800, 107_900), 2_059_408]
        names = [clock.name(frame) for frame in frames]
        assert len(set(names)) == len(names)
        assert [clock.frame(name) for name in names] == frames


def test_a_timecode_begins_anew_after_a_day() -> None:
    assert TimecodeClock(Fraction(25)).name(24 * 3600 * 25 + 3) == "00:00:00:03"
    assert TimecodeClock(NTSC, drop=True).name(2_589_408) == "00:00:00;00"
    assert TimecodeClock(NTSC, drop=True).name(2_589_407) == "23:59:59;29"
    late = timeline_cut_at(Fraction(25), [0, 50, 75])
    late = replace(late, settings=Settings(start_timecode="23:59:58:00"))
    assert events(render(late, "edl"))[1][-2:] == ("00:00:00:00", "00:00:01:00")


@pytest.mark.parametrize(
    ("own", "edited"),
    [("25/2", "25"), ("15/2", "30"), ("15000/1001", "30000/1001"), ("10", "10")]
    + [(f"{n}000/1001", f"{n}000/1001") for n in (48, 120, 240)],
)
def test_a_constant_rate_keeps_its_own_or_a_whole_multiple(own: str, edited: str) -> None:
    fps, edges = Fraction(own), [0, 7, 19, 401]
    timeline = timeline_cut_at(fps, edges)
    rate = editing_rate(timeline)
    assert rate == Fraction(edited)
    frames = [number * rate / fps for number in edges]
    assert [(p.first, p.after) for p in place_segments(timeline)] == list(pairwise(frames))


@pytest.mark.parametrize(
    ("rate", "stated", "first"),
    [
        (Fraction(25), "10:20:30:05", "10:20:30:05"),
        (NTSC, "01:00:00:00", "01:00:00:00"),
        (NTSC, "01:00:00;00", "01:00:00;00"),
        (Fraction(25), "10:20:30:29", "00:00:00:00"),
    ],
)
def test_the_timecode_of_the_video_begins_the_edl(rate: Fraction, stated: str, first: str) -> None:
    timeline = timeline_cut_at(rate, [0, 50, 75])
    timeline = replace(timeline, input=replace(timeline.input, timecode=stated))
    assert events(render(timeline, "edl"))[0][-2] == first
    given = replace(timeline, settings=Settings(start_timecode="02:00:00:00"))
    assert events(render(given, "edl"))[0][-2] == "02:00:00:00"


def test_drop_frame_timecode_keeps_pace_with_the_clock() -> None:
    drop = TimecodeClock(NTSC, drop=True)
    assert (drop.name(1799), drop.name(1800)) == ("00:00:59;29", "00:01:00;02")
    assert (drop.name(17_982), drop.name(107_892)) == ("00:10:00;00", "01:00:00;00")
    assert TimecodeClock(NTSC).name(107_892) == "00:59:56:12"
    with pytest.raises(UsageError, match="skips it"):
        drop.frame("00:01:00;01")


def test_timecodes_agree_with_those_of_opentimelineio() -> None:
    opentime = pytest.importorskip("opentimelineio").opentime
    for rate, drop in ((NTSC_24, False), (Fraction(25), False), (NTSC, True), (NTSC, False)):
        clock = TimecodeClock(rate, drop)
        for frame in (0, 1, 1799, 1800, 17_981, 17_982, 100_000, 107_892, 200_001):
            time = opentime.RationalTime(frame, float(rate))
            assert clock.name(frame) == opentime.to_timecode(time, float(rate), drop)


def test_variable_frame_rates_go_by_their_times() -> None:
    # 2 s at 30 frames per second, 4 s at 15, 2 s at 30: an editor lays them out at one rate.
    gaps = [1 / 30] * 60 + [1 / 15] * 60 + [1 / 30] * 60
    times = np.concatenate([[0], np.cumsum(gaps)[:-1]])
    edges = [0.0, 2.0, 6.0, 8.0]
    windows = [Window(a, b) for a, b in pairwise(edges)]
    timeline = of_times(times, windows, Fraction(45, 2), 8.0, vfr=True)
    assert [s.start_frame for s in timeline.segments] == [0, 60, 120]
    assert editing_rate(timeline) == NTSC_24
    assert [p.first for p in place_segments(timeline)] == [0, 48, 144]
    assert [p.first / float(NTSC_24) for p in place_segments(timeline)] == pytest.approx(
        edges[:3], abs=1.01 / 23.976
    )


def test_rates_that_a_container_tells_badly_are_the_standard_ones() -> None:
    assert editing_rate(timeline_cut_at(Fraction(2997, 100), [0, 9, 18])) == NTSC
    assert editing_rate(timeline_cut_at(Fraction(23976, 1000), [0, 9, 18])) == NTSC_24
    assert editing_rate(timeline_cut_at(Fraction(15), [0, 9, 18])) == 15
    assert editing_rate(timeline_cut_at(Fraction(13), [0, 9, 18])) == 13
    assert editing_rate(timeline_cut_at(Fraction(137, 10), [0, 9, 18])) == NTSC_24


@pytest.mark.parametrize("fps", [None, [0, 1], [25], ["25", 1], [10**400, 1], [1, 10**400], 25.0])
def test_a_rate_that_is_none_is_taken_for_25(fps: object) -> None:
    timeline = timeline_cut_at(
        Fraction(25), [0, 50, 75], input=VideoInfo.from_dict({"fps": fps, "vfr": False})
    )
    assert editing_rate(timeline) == 25
    assert [p.first for p in place_segments(timeline)] == [0, 50]


def test_an_edl_is_exact() -> None:
    assert render(timeline_cut_at(Fraction(25), [0, 50, 75]), "edl") == (
        "TITLE: my movie\nFCM: NON-DROP FRAME\n\n"
        "001  MYMOVIE  V     C        00:00:00:00 00:00:02:00 00:00:00:00 00:00:02:00\n"
        "* FROM CLIP NAME: my movie.mp4\n"
        "* LOC: 00:00:00:00 RED     dive\n* COMMENT: dive (90%)\n* FRAME RATE: 25\n"
        "002  MYMOVIE  V     C        00:00:02:00 00:00:03:00 00:00:02:00 00:00:03:00\n"
        "* FROM CLIP NAME: my movie.mp4\n"
        "* LOC: 00:00:02:00 GREEN   swim\n* COMMENT: swim (80%)\n"
    )


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("audio", [False, True])
def test_another_reader_finds_events_channels_and_markers_in_an_edl(
    rate: Fraction, audio: bool, tmp_path: Path
) -> None:
    pytest.importorskip("otio_cmx3600_adapter")
    otio = pytest.importorskip("opentimelineio")
    edges = [0, 100, 250, 251, 2500]
    heard = timeline_cut_at(rate, edges)
    path = tmp_path / "a.edl"
    path.write_text(render(replace(heard, input=replace(heard.input, audio=audio)), "edl"))
    read = otio.adapters.read_from_file(str(path), rate=float(rate))
    assert [track.kind for track in read.tracks] == ["Video", "Audio", "Audio"][: 1 + 2 * audio]
    for track in read.tracks:
        clips = list(track.find_clips())
        assert [int(c.source_range.start_time.value) for c in clips] == edges[:-1]
        assert [int(c.source_range.duration.value) for c in clips] == np.diff(edges).tolist()
        assert [c.markers[0].name for c in clips] == ["dive", "swim", "dive", "swim"]


def test_editors_get_the_sound_of_a_video_that_has_some() -> None:
    silent = timeline_cut_at(Fraction(25), [0, 50, 75, 100], decoding=QUIET)
    heard = replace(silent, input=replace(silent.input, audio=True))
    tracks = json.loads(render(heard, "otio"))["tracks"]["children"]
    assert [track["kind"] for track in tracks] == ["Video", "Audio"]
    kinds = [[child["OTIO_SCHEMA"] for child in track["children"]] for track in tracks]
    assert kinds[0] == kinds[1] == ["Clip.1", "Gap.1", "Clip.1"]
    assert not any(child["markers"] for child in tracks[1]["children"])
    assert 'hasAudio="1"' in render(heard, "fcpxml")
    assert "  AA/V  C  " in render(heard, "edl")
    assert "hasAudio" not in render(silent, "fcpxml")
    assert len(json.loads(render(silent, "otio"))["tracks"]["children"]) == 1


@pytest.mark.parametrize(
    "start, first, fcm",
    [
        (None, "00:00:00;00", "DROP FRAME"),
        ("01:00:00;00", "01:00:00;00", "DROP FRAME"),
        ("01:00:00:00", "01:00:00:00", "NON-DROP FRAME"),
    ],
)
def test_the_start_timecode_sets_drop_frames(start: str | None, first: str, fcm: str) -> None:
    settings = Settings(start_timecode=start)
    text = render(timeline_cut_at(NTSC, [0, 1800, 3000], settings=settings), "edl")
    assert events(text)[0][0] == first
    assert f"FCM: {fcm}\n" in text
    after = {None: "00:01:00;02", "01:00:00;00": "01:01:00;02", "01:00:00:00": "01:01:00:00"}
    assert events(text)[1][0] == after[start]


@pytest.mark.parametrize(
    "rate, start",
    [
        *((25, "soon"), (25, "00:00:00:25"), (25, "01:00:00;00"), (24, "1:2:3:4")),
        (25, "24:00:00:00"),
    ],
)
def test_a_start_timecode_that_is_none_is_refused(rate: int, start: str) -> None:
    timeline = timeline_cut_at(Fraction(rate), [0, 9, 18], settings=Settings(start_timecode=start))
    for fmt in ("edl", "otio"):
        with pytest.raises(UsageError):
            render(timeline, fmt)


def test_a_reel_is_at_most_eight_capitals_and_digits() -> None:
    assert reel_name("videos/Été à la mer (2).mp4") == "ETEALAME"
    assert reel_name("日本語.mkv") == reel_name("").replace("VIDEO", "AX") == "AX"


def test_what_holds_no_frame_is_no_event() -> None:
    timeline = timeline_cut_at(Fraction(25), [0, 50, 75], decoding=QUIET)
    assert len(events(render(timeline, "edl"))) == 1
    windows = [Window(0, 0.05), Window(0.05, 0.06), Window(0.06, 0.2)]
    short = of_times(np.arange(5) / 25, windows, Fraction(25), 0.2, vfr=False)
    assert [(p.first, p.after) for p in place_segments(short)] == [(0, 2), (2, 5)]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_opentimelineio_reads_every_position(rate: Fraction, tmp_path: Path) -> None:
    otio = pytest.importorskip("opentimelineio")
    settings = Settings(start_timecode="01:00:00:00")
    edges = [0, 100, 250, 251, 9000]
    timeline = timeline_cut_at(rate, edges, settings=settings)
    path = tmp_path / "a.otio"
    path.write_text(render(timeline, "otio"), "utf-8")
    read = otio.adapters.read_from_file(str(path))
    start = 3600 * -(-rate.numerator // rate.denominator)
    assert read.global_start_time.value == start
    track = read.tracks[0]
    assert track.kind == "Video"
    clips = list(read.find_clips())
    assert [clip.name for clip in clips][-1] == "swim"
    spans = [track.trimmed_range_of_child(clip) for clip in clips]
    assert [int(span.end_time_exclusive().value) for span in spans] == edges[1:]
    for clip, span in zip(clips, spans, strict=True):
        assert clip.source_range.start_time.value == start + span.start_time.value
        assert clip.source_range.start_time.rate == pytest.approx(float(rate), abs=1e-9)
        there = clip.available_range()
        assert there.start_time <= clip.source_range.start_time
        assert clip.source_range.end_time_exclusive() <= there.end_time_exclusive()
        assert clip.media_reference.target_url == "./my%20movie.mp4"
        assert clip.markers[0].name == clip.name
        assert clip.metadata["vidattn"]["score"] == pytest.approx(0.85, abs=0.06)


def test_opentimelineio_shows_gaps_where_there_is_background() -> None:
    otio = pytest.importorskip("opentimelineio")
    timeline = timeline_cut_at(Fraction(25), [0, 50, 75, 100], decoding=QUIET)
    read = otio.adapters.read_from_string(render(timeline, "otio"), "otio_json")
    kinds = [type(child).__name__ for child in read.tracks[0]]
    assert kinds == ["Clip", "Gap", "Clip"]
    assert read.tracks[0].trimmed_range_of_child_at_index(2).start_time.value == 75


def test_another_reader_finds_labels_and_milliseconds_in_an_elan_file(tmp_path: Path) -> None:
    pympi = pytest.importorskip("pympi")
    timeline = timeline_cut_at(NTSC_24, [0, 41, 600, 1234], decoding=QUIET)
    path = tmp_path / "a.eaf"
    path.write_text(render(timeline, "eaf"), "utf-8")
    read = pympi.Elan.Eaf(str(path))
    assert set(read.get_tier_names()) == {"vidattn", "vidattn score"}
    assert sorted(read.get_annotation_data_for_tier("vidattn")) == [
        (0, 1710, "dive"),
        (25025, 51468, "dive"),
    ]
    scores = read.get_ref_annotation_data_for_tier("vidattn score")
    assert sorted(row[2] for row in scores) == ["0.90000", "0.90000"]
    assert read.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "./my%20movie.mp4"


def test_an_elan_file_has_the_order_and_the_references_of_its_schema() -> None:
    etree = pytest.importorskip("lxml.etree")
    root = etree.fromstring(render(timeline_cut_at(Fraction(25), [0, 50, 75]), "eaf").encode())
    assert [child.tag for child in root] == [
        *("HEADER", "TIME_ORDER", "TIER", "TIER", "LINGUISTIC_TYPE", "LINGUISTIC_TYPE"),
        "CONSTRAINT",
    ]
    slots = root.xpath("//TIME_SLOT/@TIME_SLOT_ID")
    used = root.xpath("//@TIME_SLOT_REF1 | //@TIME_SLOT_REF2")
    assert sorted(slots) == sorted(used)
    ids = root.xpath("//@ANNOTATION_ID")
    assert len(set(ids)) == len(ids) == int(root.findtext("HEADER/PROPERTY"))
    assert set(root.xpath("//@ANNOTATION_REF")) <= set(ids)
    types = set(root.xpath("//@LINGUISTIC_TYPE_ID"))
    assert set(root.xpath("//TIER/@LINGUISTIC_TYPE_REF")) == types


def test_subtitles_are_read_by_others(tmp_path: Path) -> None:
    pysubs2, webvtt = pytest.importorskip("pysubs2"), pytest.importorskip("webvtt")
    timeline = timeline_cut_at(NTSC_24, [0, 41, 600, 1234])
    for fmt in ("srt", "vtt"):
        read = pysubs2.SSAFile.from_string(render(timeline, fmt), format_=fmt)
        assert [(e.start, e.end) for e in read] == [(0, 1710), (1710, 25025), (25025, 51468)]
        assert [e.text for e in read] == ["dive (90%)", "swim (80%)", "dive (90%)"]
    path = tmp_path / "a.vtt"
    path.write_text(render(timeline, "vtt"), "utf-8")
    captions = list(webvtt.read(str(path)))
    assert [c.end for c in captions] == ["00:00:01.710", "00:00:25.025", "00:00:51.468"]


def test_a_file_of_an_editor_says_nothing_of_the_machine() -> None:
    timeline = timeline_cut_at(Fraction(25), [0, 50, 75], source="videos/a.mp4")
    for fmt in ("edl", "otio", "eaf"):
        assert str(Path.cwd()) not in render(timeline, fmt)
    assert json.loads(render(timeline, "otio"))["name"] == "a"


@pytest.mark.parametrize("fmt", ["otio", "fcpxml"])
def test_documents_name_the_video_from_their_folder_or_absolutely(
    tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for source, address in (
        ("videos/a b.mp4", "../../videos/a%20b.mp4"),
        ("/x/a.mp4", "file:///x/a.mp4"),
        ("bad \udcff.mp4", "../../bad%20%FF.mp4"),
    ):
        timeline = timeline_cut_at(Fraction(25), [0, 50, 75], source=source)
        text = write(timeline, f"out/deep/a.{fmt}").read_text(encoding="utf-8")
        assert f'"{address}"' in text
        assert "udcff" not in text
