"""Named sets in every layout accepted; and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data import layouts
from vidattn.config.labels import COUNTS, load_labels
from vidattn.data.sets import DATASETS, open_dataset
from vidattn.errors import DataError

Tree = Callable[..., Path]


def touch(path: Path, kind: str, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def read(name: str, root: Path) -> layouts.Splits:
    dataset: layouts.Splits = {}
    for split in ("train", "val"):
        half = open_dataset(name, root, split)  # type: ignore[arg-type]
        assert half.missing == ()
        if name.partition("-")[0] in COUNTS:
            assert half.labels == load_labels(name.partition("-")[0])
        dataset[split] = {Path(item.path).name: half.labels[item.label] for item in half.items}
    return dataset


@pytest.mark.parametrize("layout", layouts.NAMED)
def test_a_named_dataset_is_read_in_every_layout(layout: str, tmp_path: Path) -> None:
    assert layouts.NAMED[layout](tmp_path, touch) == read(layout.split()[0], tmp_path)


def test_converted_videos_are_found_too(tmp_path: Path) -> None:
    expected = layouts.ucf101(tmp_path, lambda path, *_: touch(path.with_suffix(".mp4"), *_))
    dataset = read("ucf101", tmp_path)
    assert {Path(n).stem for n in dataset["val"]} == {Path(n).stem for n in expected["val"]}


@pytest.mark.parametrize("name", ["k700", "ssv2", "diving48", "howto100m", "ucf101", "hmdb51"])
def test_an_empty_folder_is_refused_with_the_layouts(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(name, tmp_path)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert "train" in caught.value.hint


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_class_folders_without_splits_are_not_divided_at_random(tree: Tree, name: str) -> None:
    root = tree(f"{load_labels(name)[0]}/a.avi", f"{load_labels(name)[1]}/b.avi")
    with pytest.raises(DataError, match=f"nothing in it lists the train split of {name}"):
        open_dataset(name, root)


def test_another_split_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    layouts.lists(tmp_path, touch, "ucf101", " ", "ucf101_{split}_split_1.txt")
    with pytest.raises(DataError, match="train split of ucf101-2"):
        open_dataset("ucf101-2", tmp_path)


def test_folds_of_a_dataset_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hmdb51").mkdir()
    layouts.hmdb51(tmp_path / "hmdb51", touch, 2)
    monkeypatch.setenv("VIDATTN_DATA", str(tmp_path))
    assert len(open_dataset("hmdb51-2").items) == 8
    assert [name for name in DATASETS if name.startswith("hmdb51")] == [
        "hmdb51",
        "hmdb51-2",
        "hmdb51-3",
    ]


def test_a_split_file_that_is_missing_is_named(tmp_path: Path) -> None:
    layouts.hmdb51(tmp_path, touch)
    (tmp_path / "testTrainMulti_7030_splits" / "wave_test_split1.txt").unlink()
    with pytest.raises(DataError, match=r"1 split files are missing: wave_test_split1\.txt"):
        open_dataset("hmdb51", tmp_path)


def test_bad_lines_of_split_files_are_named(tmp_path: Path) -> None:
    layouts.ucf101(tmp_path, touch)
    path = tmp_path / "ucfTrainTestlist" / "trainlist01.txt"
    path.write_text("Archery/v_Archery_g01_c01.avi 7\nJuggling/x.avi 1\nx.avi 2\n")
    with pytest.raises(DataError) as caught:
        open_dataset("ucf101", tmp_path)
    assert "line 1: Archery/v_Archery_g01_c01.avi: the number 7 is not" in caught.value.message
    assert "line 2: 'Juggling/x.avi' does not begin with a class folder" in caught.value.message
    assert "line 3: 'x.avi' does not begin" in caught.value.message


def test_another_class_list_than_the_published_one_is_refused(tmp_path: Path) -> None:
    layouts.ucf101(tmp_path, touch)
    (tmp_path / "ucfTrainTestlist" / "classInd.txt").write_text("1 Archery\n2 ApplyEyeMakeup\n")
    with pytest.raises(DataError, match=r"line 1 is '1 Archery', expected '1 applyeyemakeup'"):
        open_dataset("ucf101", tmp_path)


def test_clips_of_one_name_are_told_apart_by_their_class_folder(tmp_path: Path) -> None:
    layouts.hmdb51(tmp_path, touch)
    folder = tmp_path / "testTrainMulti_7030_splits"
    for label in ("catch", "wave"):
        (folder / f"{label}_test_split1.txt").write_text("same.avi 1\n")
        touch(tmp_path / "hmdb51_org" / label / "same.avi", "", 0)
    items = open_dataset("hmdb51", tmp_path).items
    names = load_labels("hmdb51")
    same = [item for item in items if item.path.endswith("same.avi")]
    assert {names[item.label] for item in same} == {"catch", "wave"}
    assert all(Path(item.path).parent.name == names[item.label] for item in same)


def test_templates_are_matched_without_their_brackets(tmp_path: Path) -> None:
    entries = [{"id": 7, "template": "Pushing [something] from left to right", "label": "x"}]
    (tmp_path / "train.json").write_text(json.dumps(entries))
    touch(tmp_path / "7.webm", "", 0)
    dataset = open_dataset("ssv2", tmp_path)
    assert dataset.labels[dataset.items[0].label] == "Pushing something from left to right"


def test_bad_entries_of_json_lists_are_named(tmp_path: Path) -> None:
    entries = [{"template": "Pushing something from left to right"}, {"id": "2", "template": "x"}]
    (tmp_path / "something-something-v2-train.json").write_text(json.dumps(entries))
    with pytest.raises(DataError) as caught:
        open_dataset("ssv2", tmp_path)
    assert "entry 1: no id" in caught.value.message
    assert "entry 2: the template 'x' is no class of ssv2" in caught.value.message
    for text, complaint in (("{}", "is not a JSON list"), ("[", "is not JSON"), ("[]", "empty")):
        (tmp_path / "something-something-v2-train.json").write_text(text)
        with pytest.raises(DataError, match=complaint):
            open_dataset("ssv2", tmp_path)


def test_the_test_split_of_ssv2_has_no_labels_and_does_not_validate(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text('[{"id": "1"}]')
    with pytest.raises(DataError, match="nothing in it lists the val split of ssv2"):
        open_dataset("ssv2", tmp_path, "val")


def test_dives_out_of_range_are_named_and_later_starts_are_parts(tmp_path: Path) -> None:
    entries: list[dict[str, object]] = [
        {"vid_name": "a_0", "label": 48, "start_frame": 0, "end_frame": 5},
        {"vid_name": "b_0", "label": 0, "start_frame": 9, "end_frame": 5},
        {"label": 0},
    ]
    path = tmp_path / "Diving48_V2_train.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(DataError) as caught:
        open_dataset("diving48", tmp_path)
    for complaint in ("the label 48 is none of 0 to 47", "start_frame 9 and end", "no vid_name"):
        assert complaint in caught.value.message
    path.write_text(json.dumps([{"vid_name": "a", "label": 1, "start_frame": 3, "end_frame": 8}]))
    touch(tmp_path / "rgb" / "a.mp4", "", 0)
    assert open_dataset("diving48", tmp_path).items[0].frames == (3, 8)


def test_a_vocabulary_of_another_version_is_refused(tmp_path: Path) -> None:
    layouts.diving48(tmp_path, touch)
    names = [name.split("+") for name in load_labels("diving48")]
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps([names[1], names[0], *names[2:]]))
    with pytest.raises(DataError, match=r"number 0 is Back\+15som\+15Twis\+FREE, expected"):
        open_dataset("diving48", tmp_path)


def test_tasks_of_a_hundred_videos_are_the_classes_of_howto100m(tmp_path: Path) -> None:
    rows = [f"v{task}_{i},Food,Drinks,{i},{task}" for task, n in ((9, 100), (30, 120), (7, 99))
            for i in range(n)]  # fmt: skip
    header = "video_id,category_1,category_2,rank,task_id\n"
    (tmp_path / "HowTo100M_v1.csv").write_text(header + "\n".join([*rows, "v9_0,a,b,1,30"]) + "\n")
    (tmp_path / "task_ids.csv").write_text("9\tMake Tea\n7\tFly\n")
    for task in (9, 30, 7):
        for i in range(120):
            touch(tmp_path / "videos" / f"v{task}_{i}.mp4", "", 0)
    train, val = (
        open_dataset("howto100m", tmp_path, "train"),
        open_dataset("howto100m", tmp_path, "val"),
    )
    assert train.labels == val.labels == ("Make Tea", "task 30")
    assert len(train.items) == 176
    assert len(val.items) == 44
    assert not {item.path for item in train.items} & {item.path for item in val.items}
    assert "2 tasks have 100 videos or more; 20% of each is for validation" in train.notes[0]
    (tmp_path / "HowTo100M_v1.csv").write_text(header + "a,Food,Drinks,1,none\n")
    with pytest.raises(DataError, match="line 2: no video_id, or a task_id that is no number"):
        open_dataset("howto100m", tmp_path)


def test_missing_videos_are_listed_with_their_published_suffix(tmp_path: Path) -> None:
    layouts.ssv2(tmp_path, touch, "labels/", "v")
    (tmp_path / "v" / "0.webm").unlink()
    with pytest.raises(DataError, match=r"1 of 8 listed videos are missing \(12.5%\): 0\.webm"):
        open_dataset("ssv2", tmp_path)
    dataset = open_dataset("ssv2", tmp_path, max_missing=0.2)
    assert dataset.missing == ("0.webm",)
    assert len(dataset.items) == 7
