"""Annotations of long videos, in the layouts in which they come."""

import json
from pathlib import Path

import pytest

from vidattn.data.annotations.ground_truth import AnnotatedVideo, read_ground_truth
from vidattn.errors import DataError
from vidattn.types import Window


@pytest.fixture
def breakfast(tmp_path: Path) -> Path:
    """Two videos as MS-TCN distributes them."""
    (tmp_path / "groundTruth").mkdir()
    (tmp_path / "splits").mkdir()
    (tmp_path / "mapping.txt").write_text("0 SIL\n1 pour_milk\n2 stir milk\n")
    (tmp_path / "groundTruth" / "P01.txt").write_text("SIL\nSIL\npour_milk\n")
    (tmp_path / "groundTruth" / "P02.txt").write_text("2\n1\n\n")
    (tmp_path / "splits" / "test.split1.bundle").write_text("P02.txt\n")
    return tmp_path


def test_texts_have_a_label_for_each_frame(breakfast: Path) -> None:
    first = AnnotatedVideo("P01", frames=("SIL", "SIL", "pour_milk"))
    second = AnnotatedVideo("P02", frames=("stir milk", "pour_milk"))
    assert read_ground_truth(breakfast).videos == (first, second)
    assert read_ground_truth(breakfast / "groundTruth").videos == (first, second)
    assert read_ground_truth(breakfast / "groundTruth" / "P01.txt").videos == (first,)


@pytest.mark.parametrize("split", ["test.split1", "test.split1.bundle"])
def test_a_bundle_says_which_videos_count(breakfast: Path, split: str) -> None:
    assert [t.name for t in read_ground_truth(breakfast, split).videos] == ["P02"]
    own = str(breakfast / "splits" / "test.split1.bundle")
    assert [t.name for t in read_ground_truth(breakfast, own).videos] == ["P02"]
    with pytest.raises(DataError, match="neither a file nor a list") as caught:
        read_ground_truth(breakfast, "test.split7")
    assert caught.value.hint == "there are test.split1"


def test_labels_that_no_mapping_knows_are_refused(breakfast: Path) -> None:
    (breakfast / "groundTruth" / "P02.txt").write_text("SIL\npour_mlik\n")
    with pytest.raises(DataError, match=r"P02.txt: line 2: 'pour_mlik' is no class"):
        read_ground_truth(breakfast)
    (breakfast / "groundTruth" / "P02.txt").write_text("SIL\n\nSIL\n")
    with pytest.raises(DataError, match="line 2 is empty"):
        read_ground_truth(breakfast)


DATABASE = {
    "v1": {
        "subset": "validation",
        "duration": 30.5,
        "annotations": [
            {"segment": [10, 20.5], "label": "Kayaking"},
            {"segment": [2.0, 9], "label": "Rope skipping"},
        ],
    },
    "v2": {"subset": "training", "duration": 5, "annotations": []},
    "v3": {"subset": "validation", "annotations": [{"segment": [3, 3], "label": "Kayaking"}]},
}


def test_a_database_of_annotations(tmp_path: Path) -> None:
    path = tmp_path / "anet.json"
    path.write_text(json.dumps({"database": DATABASE, "version": "1.3"}))
    annotations = read_ground_truth(path)
    spans = ((Window(2, 9), "Rope skipping"), (Window(10, 20.5), "Kayaking"))
    assert annotations.videos == (
        AnnotatedVideo("v1", spans=spans, duration=30.5),
        AnnotatedVideo("v3"),
    )
    assert "its subset validation counts" in annotations.notes[0]
    assert "1 annotations have no length: v3" in annotations.notes[1]
    assert read_ground_truth(path, "Training").videos == (AnnotatedVideo("v2", duration=5.0),)
    with pytest.raises(DataError, match="no subset 'test'") as caught:
        read_ground_truth(path, "test")
    assert caught.value.hint == "it has validation, training"


def test_a_table_of_spans(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("path,label,start,end\na.mp4,dive,4,6.5\na.mp4,swim,0,4\nb.mp4,,,\n")
    spans = ((Window(0, 4), "swim"), (Window(4, 6.5), "dive"))
    assert read_ground_truth(path).videos == (
        AnnotatedVideo("a.mp4", spans=spans),
        AnnotatedVideo("b.mp4"),
    )
    path.write_text("path,label,start,end,split\na,x,0,1,train\nb,y,0,1,test\n")
    assert [t.name for t in read_ground_truth(path).videos] == ["b"]
    assert [t.name for t in read_ground_truth(path, "train").videos] == ["a"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("t.csv", "path,label,start,end\na,x,2,1\nb,,0,1\n,x,0,1\n", "3 bad rows"),
        ("t.csv", "path,label,start,end\na,x,nan,1\n", "line 2: needs 0 <= start < end"),
        ("t.csv", "path,label,start,end\na,x,-1,1\n", "line 2: needs 0 <= start < end"),
        ("t.csv", "", "the list is empty"),
        ("t.json", "[]", "no JSON with a"),
        ("t.json", "{", "no JSON with a"),
        ("t.json", '{"database": {"v": {"annotations": [{"segment": [1]}]}}}', "v: an annotation"),
        ("t.json", '{"database": {"v": {"annotations": 3}}}', "v: an annotation"),
        ("t.json", '{"database": {"v": 3}}', "no JSON with a"),
        ("t.json", '{"database": {}}', "annotates no video"),
        ("t.txt", "\n\n", "is empty"),
        ("t.xml", "<a/>", "not a ground truth"),
        ("t.srt", "1\n00:00:02,000 --> 00:00:01,000\nwalk\n", "line 2: a cue ends before"),
    ],
)
def test_malformed_annotations_fail(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=complaint) as caught:
        read_ground_truth(tmp_path / name)
    assert caught.value.message.startswith(str(tmp_path / name))


def test_missing_annotations_are_named(tmp_path: Path) -> None:
    for name in ("none.csv", "none.json", "none.txt", "none", "."):
        with pytest.raises(DataError):
            read_ground_truth(tmp_path / name)


def test_a_table_of_several_areas_tells_them_apart(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("path,label,start,end,roi\na.mp4,sit,0,2,left\na.mp4,walk,1,3,right\n")
    (video,) = read_ground_truth(table).videos
    sit, walk = (Window(0, 2), "sit"), (Window(1, 3), "walk")
    assert (video.spans, video.areas) == ((sit, walk), {"left": (sit,), "right": (walk,)})
    assert video.of_area("right").spans == (walk,)


def test_a_span_with_several_labels_is_a_span_of_each(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,label,start,end,roi\na.mp4,walk; talk,0,2,left\n")
    (video,) = read_ground_truth(tmp_path / "a.csv").videos
    assert video.spans == ((Window(0, 2), "walk"), (Window(0, 2), "talk"))
    assert video.areas == {"left": video.spans}


def test_a_row_without_length_is_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,start,end\na,x,1,1\na,y,0,2\n")
    truth = read_ground_truth(tmp_path / "t.csv")
    assert truth.videos[0].spans == ((Window(0, 2), "y"),)
    assert truth.notes == (f"{tmp_path}/t.csv: 1 row without length: left out",)


def test_cues_of_other_editors_are_read_or_named(tmp_path: Path) -> None:
    (tmp_path / "t.srt").write_text(
        "1\n00:00:00,5 --> 00:00:06,00\n{\\an8}<i>walk</i>\n\n"
        "2\n00:00:06,00 --> 00:00:06,000\nrun\n\n3\n0:6 --> 0:7\njump\n"
    )
    truth = read_ground_truth(tmp_path / "t.srt")
    assert truth.videos[0].spans == ((Window(0.005, 6), "walk"),)
    assert [note.partition(": ")[2] for note in truth.notes] == [
        "line 6: a cue without length: left out",
        "line 9: a cue whose times are not understood: left out",
    ]


def test_separators_alone_are_no_label_and_texts_are_not_split(tmp_path: Path) -> None:
    table, cues = tmp_path / "t.csv", tmp_path / "a.srt"
    table.write_text("path,label,start,end\na.mp4,;,0,1\na.mp4,run;jump,1,2\n")
    truth = read_ground_truth(table)
    assert truth.videos[0].spans == ((Window(1, 2), "run"), (Window(1, 2), "jump"))
    assert truth.notes == (f"{table}: 1 span without a label: left out",)
    cues.write_text("1\n00:00:00,000 --> 00:00:02,000\nwait; what\n")
    assert read_ground_truth(cues).videos[0].spans == ((Window(0, 2), "wait; what"),)
