"""Corrected annotations come back: as ground truth and as training data."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.output.test_editors import NTSC_24, timeline_cut_at
from vidattn.data.annotations.annotation import locate_video, path_from_url
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError
from vidattn.output import render, write
from vidattn.timeline import Timeline

EDGES = [0, 41, 600, 1234]
SPANS = [(0, 1.71, "dive"), (1.71, 25.025, "swim"), (25.025, 51.468, "dive")]


def annotate(timeline: Timeline) -> list[dict[str, Any]]:
    """What Label Studio exports when somebody has accepted our predictions."""
    tasks = json.loads(render(timeline, "labelstudio"))
    for number, task in enumerate(tasks):
        task |= {"id": number, "annotations": task["predictions"], "predictions": []}
    return tasks


def save(path: Path, tasks: Any) -> Path:
    path.write_text(json.dumps(tasks), "utf-8")
    return path


def spans(path: Path) -> list[tuple[float, float, str]]:
    [video] = read_ground_truth(path).videos
    return [(w.start, w.stop, label) for w, label in video.spans]


def test_an_elan_file_comes_back_to_the_millisecond(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(render(timeline_cut_at(NTSC_24, EDGES), "eaf"), "utf-8")
    assert (spans(path), read_ground_truth(path).videos[0].name) == (SPANS, "my movie.mp4")


def test_an_elan_file_addresses_its_video_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    timeline = replace(timeline_cut_at(NTSC_24, EDGES), source="videos/a.mp4")
    text = write(timeline, Path("out/a.eaf")).read_text()
    assert ' MEDIA_URL="../videos/a.mp4"' in text
    assert ' RELATIVE_MEDIA_URL="../videos/a.mp4"' in text


def test_an_elan_file_finds_its_video_from_another_folder_and_when_moved(tmp_path: Path) -> None:
    source = tmp_path / "videos" / "my movie.mp4"
    source.parent.mkdir()
    source.touch()
    path = write(
        replace(timeline_cut_at(NTSC_24, EDGES), source=str(source)), tmp_path / "out" / "a.eaf"
    )
    assert 'RELATIVE_MEDIA_URL="../videos/my%20movie.mp4"' in path.read_text()
    [annotated] = read_ground_truth(path).videos
    assert locate_video(annotated.name, path.parent).samefile(source)
    moved = tmp_path / "elsewhere" / "deep" / "a.eaf"
    moved.parent.mkdir(parents=True)
    path.rename(moved)
    [annotated] = read_ground_truth(moved).videos
    assert locate_video(annotated.name, moved.parent).samefile(source)


def test_label_studio_comes_back_to_the_frame(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", annotate(timeline_cut_at(NTSC_24, EDGES)))
    annotated = spans(path)
    assert [label for _, _, label in annotated] == ["dive", "swim", "dive"]
    assert [round(a * NTSC_24, 3) for a, _, _ in annotated] == EDGES[:-1]
    assert [round(b * NTSC_24, 3) for _, b, _ in annotated] == EDGES[1:]
    [video] = read_ground_truth(path).videos
    assert (video.name, video.duration) == ("videos/my movie.mp4", pytest.approx(51.468, abs=1e-3))


def test_the_short_export_of_label_studio_is_understood(tmp_path: Path) -> None:
    ranges = [{"ranges": [{"start": 26, "end": 50}], "timelinelabels": ["dive", "wet"]}]
    task = {"id": 1, "video": "/data/upload/3/0123abcd-my%20movie.mp4", "fps": 25, "x": ranges}
    path = save(tmp_path / "a.json", [task])
    assert spans(path) == [(1, 2, "dive"), (1, 2, "wet")]
    assert read_ground_truth(path).videos[0].name == "my movie.mp4"


def test_the_last_annotation_that_was_not_canceled_counts(tmp_path: Path) -> None:
    [task] = annotate(timeline_cut_at(Fraction(25), [0, 50, 75]))
    first = {"result": []}
    cancelled = {"result": [], "was_cancelled": True}
    task["annotations"] = [first, *task["annotations"], cancelled]
    path = save(tmp_path / "a.json", [task, {"data": {"video": "b.mp4"}, "annotations": []}])
    assert spans(path) == [(0, 2, "dive"), (2, 3, "swim")]
    assert read_ground_truth(path).notes == (f"{path}: 1 tasks nobody has annotated: left out",)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda task: task["data"].pop("fps"), "task 1: 'fps'"),
        (lambda task: task["data"].update(fps=0), "task 1: 'fps'"),
        (lambda task: task["data"].update(fps="quick"), "task 1: could not convert"),
        (lambda task: task["data"].pop("video"), "task 1: its data names no video"),
        (lambda task: task.update(annotations=7), "task 1: 'int' object"),
        (lambda task: task.update(annotations=[]), "nobody has annotated any of its 1 tasks"),
        (lambda task: task.pop("annotations"), "nobody has annotated any of its 1 tasks"),
    ],
)
def test_an_unusable_export_has_a_reason(tmp_path: Path, change: Any, message: str) -> None:
    [task] = annotate(timeline_cut_at(Fraction(25), [0, 50, 75]))
    change(task)
    path = save(tmp_path / "a.json", [task])
    with pytest.raises(DataError, match=message) as caught:
        read_ground_truth(path)
    assert caught.value.hint
    with pytest.raises(DataError, match=message):
        open_dataset(str(path))


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER>
<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/sound.wav"/>
<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/my%20video.mp4" TIME_ORIGIN="500"/>
</HEADER><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="1500"/>
<TIME_SLOT TIME_SLOT_ID="c"/></TIME_ORDER>
<TIER TIER_ID="Action">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="1" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">
<ANNOTATION_VALUE> dive &amp; swim </ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="2" TIME_SLOT_REF1="b" TIME_SLOT_REF2="c">
<ANNOTATION_VALUE>no time</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="Person">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="3" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">
<ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>"""


def test_a_foreign_elan_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "coded.eaf"
    path.write_text(EAF)
    assert spans(path) == [(0.5, 2.0, "dive & swim")]
    loaded = read_ground_truth(path)
    assert loaded.videos[0].name == "/elsewhere/my video.mp4"
    assert loaded.notes == (
        f"{path}: the labels are those of the tiers Action, Person",
        f"{path}: 2 annotations have no label or no times: left out",
    )


def test_a_folder_of_elan_files_is_one_annotation(tmp_path: Path) -> None:
    for name in ("a", "b"):
        timeline = timeline_cut_at(Fraction(25), [0, 50, 75], source=f"{name}.mp4")
        (tmp_path / f"{name}.vidattn.eaf").write_text(render(timeline, "eaf"))
    assert [video.name for video in read_ground_truth(tmp_path).videos] == ["a.mp4", "b.mp4"]
    with pytest.raises(DataError, match="has no subset 'test'"):
        read_ground_truth(tmp_path, "test")


def test_annotations_may_name_their_split(tmp_path: Path) -> None:
    for split, video in (("train", "a.mp4"), ("val", "b.mp4")):
        timeline = timeline_cut_at(Fraction(25), [0, 50, 75], source=video)
        (tmp_path / "eaf" / split).mkdir(parents=True)
        (tmp_path / "eaf" / split / f"{video}.eaf").write_text(render(timeline, "eaf"))
        (tmp_path / "eaf" / split / video).touch()
        (tmp_path / video).touch()
    tasks = [annotate(timeline_cut_at(Fraction(25), [0, 50], source=f"{v}.mp4"))[0] for v in "ab"]
    for task, split in zip(tasks, ("train", "validation"), strict=True):
        task["data"]["split"] = split
    for path in (tmp_path / "eaf", save(tmp_path / "tasks.json", tasks)):
        train, val = (open_dataset(str(path), None, split) for split in ("train", "val"))
        assert {Path(item.path).name for item in train.items} == {"a.mp4"}, train
        assert {Path(item.path).name for item in val.items} == {"b.mp4"}
    named = EAF.replace("</HEADER>", '<PROPERTY NAME="split">val</PROPERTY></HEADER>')
    (tmp_path / "coded.eaf").write_text(named)
    assert read_ground_truth(tmp_path / "coded.eaf").videos[0].split == "val"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not XML"),
        ("<a>", "is not XML"),
        ("<a/>", "is no ELAN document"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type definition"),
        ('<?xml version="1.0" encoding="none"?><a/>', "is not XML"),
    ],
)
def test_other_files_are_refused_as_elan_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_ground_truth(path)
    with pytest.raises(DataError, match="no such file or folder"):
        read_ground_truth(tmp_path / "none.eaf")


@pytest.mark.parametrize(
    "address, path",
    [
        ("file:///a/b%20c.mp4", "/a/b c.mp4"),
        ("./b%20c.mp4", "b c.mp4"),
        ("videos/b.mp4", "videos/b.mp4"),
        ("/data/local-files/?d=videos/b.mp4", "videos/b.mp4"),
        ("/data/upload/1/0123abcd-b.mp4", "b.mp4"),
        ("s3://bucket/videos/b.mp4", "b.mp4"),
        ("https://example.org/videos/b%20c.mp4?key=1", "b c.mp4"),
    ],
)
def test_an_address_gives_the_path_of_a_video(address: str, path: str) -> None:
    assert path_from_url(address) == path


def test_a_video_is_found_beside_its_annotation(tmp_path: Path) -> None:
    (tmp_path / "b.mp4").touch()
    assert locate_video("/gone/videos/b.mp4", tmp_path) == tmp_path / "b.mp4"
    assert locate_video("videos/c.mp4", tmp_path) == tmp_path / "videos" / "c.mp4"


def test_corrected_files_are_training_data(tmp_path: Path) -> None:
    timelines = [timeline_cut_at(Fraction(25), [0, 50, 75], source=f"{n}.mp4") for n in range(10)]
    for number, timeline in enumerate(timelines):
        (tmp_path / f"{number}.mp4").touch()
        (tmp_path / f"{number}.eaf").write_text(render(timeline, "eaf"))
    tasks = save(tmp_path / "tasks.json", [t for line in timelines for t in annotate(line)])
    rows = [render(line, "csv").splitlines() for line in timelines]
    table = tmp_path / "all.csv"
    table.write_text("\n".join([rows[0][0], *(row for part in rows for row in part[1:])]))
    annotated = []
    for given in (tmp_path, tasks, table):
        train, val = (open_dataset(str(given), split=split) for split in ("train", "val"))
        assert train.labels == val.labels == ("dive", "swim")
        items = sorted(train.items + val.items, key=lambda item: (item.path, item.label))
        assert {i.path for i in train.items}.isdisjoint(i.path for i in val.items)
        assert len(val.items) == 4
        annotated.append([(Path(i.path).name, i.label, i.window) for i in items])
    assert annotated[0] == annotated[1] == annotated[2]


def test_spans_of_a_single_video_are_split_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "my movie.mp4").touch()
    labels = ("dive", "background")
    timeline = timeline_cut_at(Fraction(25), list(range(0, 1100, 50)), labels=labels)
    path = tmp_path / "a.eaf"
    path.write_text(render(timeline, "eaf"))
    train, val = (open_dataset(str(path), split=split) for split in ("train", "val"))
    assert train.labels == ("dive",)
    assert (len(train.items), len(val.items)) == (9, 2)
    assert any("all spans are of one video" in note for note in train.notes)
    assert Path(train.items[0].path) == tmp_path / "my movie.mp4"
