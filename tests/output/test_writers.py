"""One suite over all writers, the exact text of each, and where each counts from."""

from __future__ import annotations

import csv as csv_module
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.helpers import two_windows
from vidattn import output
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.errors import OutputError, UsageError
from vidattn.evaluation.diff import diff
from vidattn.output import WRITERS, format_of, render
from vidattn.output.file_names import file_name
from vidattn.output.tables import COLUMNS, escape_cell
from vidattn.timeline import Decoding, Timeline
from vidattn.types import ModelInfo, VideoInfo, Window

HOSTILE = (
    "=cmd|' /C calc'!A0", "+1", "-rf", "@SUM(A1)", "\tx", "\rx", 'a,b;"c"\nd',
    "<script>alert(1)</script>", "1 --> 2", "\x1b]0;title\x07[/b]", "\udcff.mp4",
    "\u2028\u2029\u0085\x00", "", "   ", "日本語 🎬 Ünïcode",
)  # fmt: skip
"""Names and labels as strangers make them."""


def timelines() -> dict[str, Timeline]:
    hour = 3600.0
    return {
        "two segments": two_windows(),
        "one segment": two_windows(task="classify", windows=(Window(0, 9),), scores=[[0.4, 0.6]]),
        "no windows": two_windows(windows=(), scores=np.zeros((0, 2)), duration=3.0),
        "all unreadable": two_windows(unreadable=((Window(0, 4), "E_DECODE"),)),
        "all background": two_windows(decoding=Decoding(smooth="none", threshold=1.0)),
        "some background": two_windows(decoding=Decoding(smooth="none", threshold=0.85)),
        "a gap": two_windows(unreadable=((Window(1, 2.5), "E_DECODE"),)),
        "hours": two_windows(windows=(Window(0, 100 * hour), Window(100 * hour, 100 * hour + 0.5))),
        "a millisecond": two_windows(windows=(Window(0, 0.001), Window(0.001, 0.002))),
        "frame numbers": two_windows(frame_times=np.arange(100) / 25),
    }


TIMELINES = timelines()


def cues(text: str) -> Iterator[tuple[str, str, str]]:
    """Start, stop and words of the cues of an SRT or VTT file."""
    time = r"\d{2,}:[0-5]\d:[0-5]\d[.,]\d{3}"
    for block in text.split("\n\n"):
        lines = block.strip("\n").split("\n")
        if len(lines) > 1 and (match := re.fullmatch(f"({time}) --> ({time})", lines[-2])):
            yield match[1], match[2], lines[-1]


@pytest.mark.parametrize("fmt", WRITERS)
@pytest.mark.parametrize("name", TIMELINES)
def test_every_writer_writes_every_timeline(fmt: str, name: str) -> None:
    if (fmt, name) == ("cvat", "hours"):
        pytest.skip("a tag on each frame of 100 hours")
    text = render(TIMELINES[name], fmt)
    assert text == render(TIMELINES[name], fmt)
    assert text == "" or text.endswith("\n")
    assert "\r" not in text
    assert fmt == "html" or "nan" not in text.lower()  # in base64 it is a word like others


@pytest.mark.parametrize("fmt", WRITERS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_every_writer_survives_names_and_labels_of_strangers(fmt: str, hostile: str) -> None:
    timeline = two_windows(source=hostile, labels=(hostile, "swim"), model=ModelInfo(name=hostile))
    text = render(timeline, fmt)
    text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)
    parse: dict[str, Callable[[], list[Any]]] = {
        "json": lambda: json.loads(text)["segments"],
        "jsonl": lambda: [json.loads(line) for line in text.splitlines()],
        "csv": lambda: list(csv_module.DictReader(io.StringIO(text, newline=""))),
        "tsv": lambda: text.split("\n")[1:-1],
        "srt": lambda: list(cues(text)),
        "vtt": lambda: list(cues(text)),
        "edl": lambda: re.findall(r"^\d{3}  [A-Z0-9 ]{8} V     C        [\d:]{11} ", text, re.M),
        "otio": lambda: json.loads(text)["tracks"]["children"][0]["children"],
        "fcpxml": lambda: ElementTree.fromstring(text).findall(".//asset-clip"),
        "labelstudio": lambda: json.loads(text)[0]["predictions"][0]["result"],
        "cvat": lambda: ElementTree.fromstring(text).findall("image/tag")[::50],
        "activitynet": lambda: next(iter(json.loads(text)["results"].values())),
        "fiftyone": lambda: next(iter(json.loads(text)["labels"].values())),
        "eaf": lambda: ElementTree.fromstring(text).findall(".//ALIGNABLE_ANNOTATION"),
        "boris": lambda: next(iter(json.loads(text)["observations"].values()))["events"][::2],
        "html": lambda: re.findall(r"<tr><td", text),
    }
    assert len(parse[fmt]()) == 2


@pytest.mark.parametrize("hostile", HOSTILE)
def test_json_keeps_names_and_labels_as_they_are(hostile: str) -> None:
    timeline = two_windows(source=hostile, labels=(hostile, "swim"))
    document = json.loads(render(timeline, "json"))
    assert (document["input"]["path"], document["segments"][0]["label"]) == (hostile, hostile)
    line = json.loads(render(timeline, "jsonl").splitlines()[0])
    assert (line["path"], line["label"]) == (hostile, hostile)


@pytest.mark.parametrize("fmt", ["csv", "tsv"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_cell_of_a_table_begins_like_a_formula(fmt: str, hostile: str) -> None:
    text = render(two_windows(source=hostile, labels=(hostile, "swim")), fmt)
    if fmt == "csv":
        rows = list(csv_module.reader(io.StringIO(text, newline="")))
    else:
        rows = [line.split("\t") for line in text.split("\n")[:-1]]
    for row in rows:
        assert len(row) == (len(COLUMNS) if fmt == "csv" else 5)
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_a_cell_is_marked_only_if_it_must_be() -> None:
    assert escape_cell("=1+1") == "'=1+1"
    assert escape_cell(" \n=1+1") == "'  =1+1"
    assert escape_cell("\tx") == "' x"
    assert escape_cell("playing chess - indoors") == "playing chess - indoors"


def test_srt_is_exact() -> None:
    assert render(two_windows(), "srt") == (
        "1\n00:00:00,000 --> 00:00:02,000\ndive (90%)\n\n"
        "2\n00:00:02,000 --> 00:00:04,000\nswim (80%)\n"
    )


def test_vtt_is_exact() -> None:
    timeline = two_windows(model=ModelInfo(name="tiny"), labels=("a < b & c", "1 --> 2"))
    assert render(timeline, "vtt") == (
        "WEBVTT\n\nNOTE tiny: a.mp4\n\n"
        "00:00:00.000 --> 00:00:02.000\na &lt; b &amp; c (90%)\n\n"
        "00:00:02.000 --> 00:00:04.000\n1 -&gt; 2 (80%)\n"
    )


def test_csv_is_exact() -> None:
    timeline = two_windows(
        labels=("dive, deep", "=swim"),
        decoding=Decoding(smooth="none", threshold=0.85),
        frame_times=np.arange(40) / 10,
        windows=(Window(0, 1.23456), Window(1.23456, 4)),
    )
    assert render(timeline, "csv") == (
        "path,start,end,start_frame,end_frame,label,label_id,score\n"
        'a.mp4,0.000,1.235,0,13,"dive, deep",0,0.90000\n'
        "a.mp4,1.235,4.000,13,40,background,,0.80000\n"
    )


def test_tsv_is_exact() -> None:
    timeline = two_windows(
        labels=("=dive", "swim\tfar\nout"), windows=(Window(0, 1.23456), Window(1.23456, 4))
    )
    assert render(timeline, "tsv") == (
        "path\tstart_ms\tend_ms\tlabel\tscore\n"
        "a.mp4\t0\t1235\t'=dive\t0.90000\na.mp4\t1235\t4000\tswim far out\t0.80000\n"
    )


def test_jsonl_is_exact() -> None:
    assert render(two_windows(labels=("dive", "schwömm")), "jsonl") == (
        '{"path": "a.mp4", "start": 0.0, "end": 2.0, "start_frame": null, "end_frame": null,'
        ' "label": "dive", "label_id": 0, "score": 0.9,'
        ' "alternatives": [{"label": "schwömm", "score": 0.1}]}\n'
        '{"path": "a.mp4", "start": 2.0, "end": 4.0, "start_frame": null, "end_frame": null,'
        ' "label": "schwömm", "label_id": 1, "score": 0.8,'
        ' "alternatives": [{"label": "dive", "score": 0.2}]}\n'
    )


@pytest.mark.parametrize("fmt", ["srt", "vtt"])
def test_subtitles_are_silent_about_background(fmt: str) -> None:
    some, none = (cues(render(TIMELINES[f"{n} background"], fmt)) for n in ("some", "all"))
    assert [words for *_, words in some] == ["dive (90%)"]
    assert list(none) == []


def test_the_hours_of_a_subtitle_have_as_many_digits_as_they_need() -> None:
    stops = [stop for _, stop, _ in cues(render(TIMELINES["hours"], "srt"))]
    assert stops == ["100:00:00,000", "100:00:00,500"]


def test_writing_chooses_the_format_by_the_extension(tmp_path: Path) -> None:
    for fmt in WRITERS:
        path = output.write(two_windows(), tmp_path / f"a.vidattn.{fmt.upper()}")
        if fmt not in ("html", "eaf", "boris", "otio", "fcpxml"):  # which say where the video lies
            assert path.read_bytes().decode("utf-8") == render(two_windows(), fmt)
    path = output.write(two_windows(), str(tmp_path / "noext"), "srt")
    assert path.read_text() == render(two_windows(), "srt")
    assert len(list(tmp_path.iterdir())) == len(WRITERS) + 1


@pytest.mark.parametrize("name", ["a.doc", "a", "json", ".srt"])
def test_an_unknown_extension_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no format has the extension") as caught:
        output.write(two_windows(), tmp_path / name)
    assert "json, jsonl, csv, tsv, srt, vtt" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="no such format: 'doc'"):
        render(two_windows(), "doc")


def test_a_file_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "dir.srt").mkdir()
    with pytest.raises(OutputError, match=r"dir\.srt") as caught:
        output.write(two_windows(), tmp_path / "dir.srt")
    assert caught.value.exit_code == 5
    assert [p.name for p in tmp_path.iterdir()] == ["dir.srt"]


def test_the_format_of_a_name_is_its_last_extension() -> None:
    assert format_of("movie.json.vidattn.SRT") == "srt"
    for fmt in WRITERS:
        assert format_of(file_name("movie.mp4", WRITERS[fmt].extension)) == fmt


@pytest.mark.parametrize(
    "source, expected",
    [
        ("movie.mp4", "movie.vidattn.json"),
        ("/a/b.c/movie.part1.mkv", "movie.part1.vidattn.json"),
        ("noext", "noext.vidattn.json"),
        ("-rf.mp4", "-rf.vidattn.json"),
        (".mp4", ".mp4.vidattn.json"),
        ("日本語.mp4", "日本語.vidattn.json"),
        ("../../etc/passwd", "passwd.vidattn.json"),
        ("..", "...vidattn.json"),
        ("", "video.vidattn.json"),
        ("/", "video.vidattn.json"),
    ],
)
def test_the_name_of_a_file_comes_from_the_stem(source: str, expected: str) -> None:
    assert file_name(source, "json") == file_name(source, ".json") == expected
    assert file_name(Path(source) if source else source, "json") == expected


def test_a_name_that_fits_is_left_alone_and_may_keep_its_extension() -> None:
    assert file_name("n" * 242 + ".mp4", "json") == "n" * 242 + ".vidattn.json"
    assert file_name("movie.mkv", "srt", keep_extension=True) == "movie.mkv.vidattn.srt"


@pytest.mark.parametrize("stem", ["n" * 251, "日" * 83, "a\nb", "\x1b[2J", "\udcff", "x\u2028y"])
def test_unsafe_file_names_are_cleaned_and_stay_distinct(stem: str, tmp_path: Path) -> None:
    name = file_name(f"{stem}.mp4", "json")
    assert len(name.encode()) <= 255
    assert re.search(r"-[0-9a-f]{16}\.vidattn\.json$", name)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", name)
    assert name != file_name(f"{stem}x.mp4", "json")
    assert name != file_name(f"{stem}.mkv", "json")
    assert output.write(two_windows(), tmp_path / name).is_file()


@pytest.mark.parametrize("fmt", WRITERS)
def test_a_file_that_was_altered_is_not_whole(fmt: str, tmp_path: Path) -> None:
    timeline = Timeline.from_json(two_windows(frame_times=np.arange(100) / 25).to_json())
    page = {"stills": {0.5: b"picture", 1.5: b"another"}} if fmt == "html" else {}
    path = output.write(timeline, tmp_path / "a", fmt, **page)  # type: ignore[arg-type]
    there = path.read_bytes()
    assert output.is_current(timeline, path, fmt)
    for altered in (b"", there[:-2], there.replace(b"dive", b"dove", 1), there + b"\n"):
        path.write_bytes(altered)
        assert not output.is_current(timeline, path, fmt)
    path.unlink()
    assert not output.is_current(timeline, path, fmt)


@pytest.fixture
def late() -> Timeline:
    """Two segments of two seconds; the first frame comes 4 s after the start of the file."""
    info = VideoInfo(fps=Fraction(25), vfr=False, frames=100, start_offset=4.0)
    return two_windows(input=info, duration=4.0, unreadable=((Window(3.5, 4), "E_DECODE"),))


FIRST = {
    "srt": "00:00:04,000 --> 00:00:06,000",
    "vtt": "00:00:04.000 --> 00:00:06.000",
    "csv": "a.mp4,4.000,6.000",
    "tsv": "4000\t6000\tdive",
    "jsonl": '"start": 4.0, "end": 6.0',
    "edl": "00:00:04:00 00:00:06:00 00:00:04:00 00:00:06:00",
    "eaf": 'TIME_VALUE="4000"',
    "fcpxml": 'name="Gap" offset="0s" start="0s" duration="4s"',
    "labelstudio": '"start": 101, "end": 150',
    "activitynet": '"segment": [4.0, 6.0]',
    "cvat": '<image id="0"',
    "html": '"duration": 8.0, "part": [4.0, 8.0]',
}


@pytest.mark.parametrize("fmt", FIRST)
def test_each_format_counts_as_its_program_does(late: Timeline, fmt: str) -> None:
    assert FIRST[fmt] in re.sub(r"[ \n]+", " ", render(late, fmt))


def test_json_counts_from_the_first_frame_and_names_the_offset(late: Timeline) -> None:
    document = json.loads(render(late, "json"))
    assert (document["input"]["start_offset"], document["segments"][0]["start"]) == (4.0, 0.0)
    assert Timeline.from_json(render(late, "json")).to_json() == late.to_json()


def test_a_moved_timeline_says_the_same(late: Timeline) -> None:
    moved = late.from_file_start()
    assert moved.from_file_start() is moved
    assert [s.window.start for s in moved.segments] == [4.0, 6.0]
    assert (moved.coverage, moved.is_whole) == (late.coverage, late.is_whole)
    assert [s.start_frame for s in moved.segments] == [s.start_frame for s in late.segments]
    assert moved.totals() == late.totals()
    assert two_windows().from_file_start().input.start_offset is None


@pytest.mark.parametrize("fmt", ["srt", "vtt", "csv", "eaf", "activitynet"])
def test_what_is_written_is_read_back_at_its_place(
    late: Timeline, fmt: str, tmp_path: Path
) -> None:
    late = replace(late, unreadable=())
    suffix = {"activitynet": "json"}.get(fmt, fmt)
    (tmp_path / f"a.{suffix}").write_text(
        render(late, fmt)
        .replace('"results"', '"database"')
        .replace('"a": [', '"a": {"annotations": [')
        .replace(']\n  },\n  "external', ']}\n  },\n  "external')
    )
    (video,) = read_ground_truth(tmp_path / f"a.{suffix}").videos
    assert diff(late, video).share == 1


def test_an_offset_that_cannot_be_is_refused() -> None:
    for offset in (-1.0, float("nan"), 1e300):
        with pytest.raises(ValueError, match="start offset"):
            two_windows(input=VideoInfo(start_offset=offset))
