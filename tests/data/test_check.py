"""What `data check` finds in a set."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.conftest import moving_square, write_frames
from vidattn.config.labels import load_labels
from vidattn.data.check.dataset import DatasetCheck, check_dataset, find_alike, open_splits
from vidattn.data.check.file import CheckedFile
from vidattn.errors import DataError
from vidattn.video import open_video


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten different videos of one second."""
    folder = tmp_path_factory.mktemp("originals")
    frames = (np.kron(moving_square("down", n)[:10], np.ones((1, 2, 2, 1), np.uint8))
              for n in range(10))  # fmt: skip
    return [write_frames(folder / f"{n}.mp4", shown) for n, shown in enumerate(frames)]


@pytest.fixture
def root(originals: list[Path], tmp_path: Path) -> Path:
    """Two classes with three videos to train and two to validate; nothing is wrong."""
    for number, original in enumerate(originals):
        split = "train" if number < 6 else "val"
        path = tmp_path / split / ("walk", "run")[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(original, path)
    return tmp_path


def checked(
    name: object, root: Path | None = None, *, full: bool = False, workers: int = 2
) -> tuple[dict[str, Any], dict[str, CheckedFile]]:
    splits = open_splits(str(name), root)
    whole, files = DatasetCheck(splits), {}
    for file in check_dataset(splits, workers=workers, full=full):
        whole.add(file)
        files[Path(file.path).name] = file
    return whole.verdict(), files


def kinds(verdict: dict[str, Any]) -> dict[str, int]:
    return {kind: findings["count"] for kind, findings in verdict["findings"].items()}


def test_a_copy_that_was_encoded_again_is_found_in_both_splits(root: Path) -> None:
    with open_video(root / "train" / "walk" / "0.mp4") as video:
        frames = video.read(range(video.frames))
    path = write_frames(root / "val" / "walk" / "again.mp4", frames[:, ::2, ::2])
    verdict, _ = checked(root)
    assert verdict["sound"]
    assert kinds(verdict) == {"size": 1, "alike": 1}  # it is small, too
    first = root / "train" / "walk" / "0.mp4"
    assert verdict["findings"]["alike"]["examples"] == [f"{first} = {path}, in both splits"]
    moved = path.rename(path.parents[1] / "run" / "again.mp4")
    verdict, _ = checked(root)
    assert kinds(verdict) == {"size": 1, "alike": 1, "conflict": 1}
    assert verdict["findings"]["conflict"]["examples"] == [f"{first} = {moved}: both run and walk"]


def table(root: Path, *rows: str) -> Path:
    path = root / "list.csv"
    path.write_text("path,label,start,end,split\n" + "\n".join(rows) + "\n")
    return path


def test_a_dataset_without_problems_is_sound(root: Path) -> None:
    verdict, files = checked(root)
    assert verdict["sound"]
    assert verdict["findings"] == {}
    assert verdict["files"] == len(files) == 10
    assert verdict["splits"]["train"] == {
        "items": 6, "missing": 0, "classes": 2, "fewest": 3, "median": 3.0, "most": 3,
    }  # fmt: skip
    assert verdict["per_class"][0] == {"label": "run", "train": 3, "val": 2}
    assert verdict["seconds"] == {"total": 10, "shortest": 1, "median": 1, "longest": 1}
    assert verdict["formats"] == {"h264 mov": 10}
    assert verdict["sizes"] == {"128x96": 10}
    assert verdict["notes"] == ["fewer than 10 items, so metrics say little: run (5), walk (5)"]
    assert verdict["bytes"] == sum(path.stat().st_size for path in root.rglob("*.mp4"))
    facts = files["0.mp4"].facts
    assert (facts["frames"], facts["fps"], facts["rotation"], facts["vfr"]) == (10, 10, 0, False)


def test_workers_change_neither_order_nor_findings(root: Path) -> None:
    (root / "val" / "run" / "7.mp4").write_bytes(b"no video")
    splits = open_splits(str(root))
    alone, three = (list(check_dataset(splits, workers=count)) for count in (1, 3))
    assert alone == three
    assert [file.path for file in alone] == list(splits.files())


def test_unreadable_files_are_serious_and_have_a_code(root: Path) -> None:
    (root / "train" / "walk" / "0.mp4").write_bytes(b"")
    (root / "val" / "run" / "7.mp4").write_bytes(b"no video at all")
    verdict, files = checked(root)
    assert not verdict["sound"]
    assert kinds(verdict) == {"unreadable": 2}
    assert files["0.mp4"].findings[0].code == "E_EMPTY"
    assert files["7.mp4"].findings[0].code == "E_NOT_VIDEO"
    assert files["7.mp4"].facts == {}


def test_a_vanished_file_is_an_error(root: Path) -> None:
    splits = open_splits(str(root))
    (root / "train" / "walk" / "0.mp4").unlink()
    first = next(f for f in check_dataset(splits) if f.path.endswith("0.mp4"))
    assert [finding.code for finding in first.findings] == ["E_GONE"]


def damaged(path: Path) -> None:
    """Overwrites the pictures of the second half of a video; what is stored about them stays."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4
    middle = (start + stop) // 2
    data[middle:stop] = bytes(stop - middle)
    path.write_bytes(data)


def test_damage_is_found_where_frames_are_decoded(root: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 96, 128, 3), np.uint8)
    damaged(write_frames(root / "train" / "run" / "1.mp4", noise))
    verdict, files = checked(root, full=True)
    assert not verdict["sound"]
    assert kinds(verdict) == {"damaged": len(files["1.mp4"].findings)}
    assert "do not decode" in files["1.mp4"].findings[0].message


def test_one_content_in_both_splits_is_a_leak(root: Path) -> None:
    shutil.copy(root / "train" / "walk" / "2.mp4", root / "val" / "walk" / "other name.mp4")
    verdict, _ = checked(root)
    assert not verdict["sound"]
    assert kinds(verdict) == {"leak": 1}
    assert "2.mp4 = " in verdict["findings"]["leak"]["examples"][0]


def test_copies_in_a_split_and_labels_that_clash_are_warnings(root: Path) -> None:
    shutil.copy(root / "train" / "walk" / "2.mp4", root / "train" / "walk" / "copy.mp4")
    os.link(root / "train" / "walk" / "4.mp4", root / "train" / "run" / "link.mp4")
    verdict, _ = checked(root)
    assert verdict["sound"]
    assert kinds(verdict) == {"duplicate": 2, "conflict": 1}
    assert "both run and walk" in verdict["findings"]["conflict"]["examples"][0]


def test_a_class_without_videos_in_a_split_is_named(root: Path) -> None:
    shutil.rmtree(root / "val" / "run")
    verdict, _ = checked(root)
    assert not verdict["sound"]
    assert verdict["findings"]["onesided"]["examples"] == ["run: no sample in val"]


def test_every_label_of_a_sample_counts(root: Path) -> None:
    """One video of each class and split is fast as well."""
    paths = sorted(path.relative_to(root) for path in root.rglob("*.mp4"))
    quick = {"0.mp4", "1.mp4", "6.mp4", "7.mp4"}
    marks = {path: ";fast" if path.name in quick else "" for path in paths}
    rows = (f"{p},{p.parent.name}{more},,,{p.parts[0]}" for p, more in marks.items())
    verdict, files = checked(table(root, *rows))
    assert verdict["findings"] == {}
    assert verdict["per_class"][0] == {"label": "fast", "train": 2, "val": 2}
    assert verdict["splits"]["val"]["classes"] == 3
    assert files["0.mp4"].to_dict(["fast", "run", "walk"])["uses"][0]["label"] == "walk;fast"


def test_spans_are_checked_against_the_end_of_their_file(root: Path) -> None:
    path = "train/walk/0.mp4"
    rows = (
        f"{path},a,0,0.5,train",
        f"{path},b,0.5,1.05,train",  # overlaps the next: two labels hold at once
        f"{path},a,0.2,7,train",
        f"{path},a,3,4,train",
        "train/walk/2.mp4,a,0,1,val",
    )
    verdict, files = checked(table(root, *rows))
    assert not verdict["sound"]
    assert kinds(verdict) == {"beyond": 1, "overrun": 1, "onesided": 1}
    messages = [finding.message for finding in files["0.mp4"].findings]
    assert "a span ends at second 7, the file has 1 seconds" in messages
    assert "a span begins at second 3, the file has 1 seconds" in messages


def test_parts_of_a_video_leak_only_where_they_overlap(root: Path) -> None:
    path = "train/walk/0.mp4"
    apart = table(root, f"{path},a,0,0.5,train", f"{path},a,0.5,1,val")
    assert kinds(checked(apart)[0]) == {"shared": 1}
    verdict, _ = checked(table(root, f"{path},a,0,0.6,train", f"{path},a,0.5,1,val"))
    assert kinds(verdict) == {"leak": 1}
    assert not verdict["sound"]


def test_a_repeated_row_is_reported(root: Path) -> None:
    row = "train/walk/0.mp4,a,,,train"
    verdict, _ = checked(table(root, row, row, "train/walk/2.mp4,a,,,val"))
    assert kinds(verdict) == {"duplicate": 1}


def test_odd_files_are_warnings(root: Path) -> None:
    write_frames(root / "train" / "walk" / "tiny.mp4", np.zeros((3, 16, 32, 3), np.uint8))
    write_frames(root / "train" / "walk" / "one.mp4", np.full((1, 96, 128, 3), 99, np.uint8))
    verdict, files = checked(root)
    assert verdict["sound"]
    assert kinds(verdict) == {"size": 1, "single": 1}
    assert files["tiny.mp4"].findings[0].message == "32x16 is small or very long"


def test_many_missing_videos_are_serious(root: Path, originals: list[Path], tmp_path: Path) -> None:
    verdict, _ = checked(
        table(root, "train/walk/0.mp4,a,,,train", "gone.mp4,a,,,train", "val/walk/6.mp4,a,,,val")
    )
    assert not verdict["sound"]
    text = f"train: 1 of 2 listed videos: {root / 'gone.mp4'}"
    assert verdict["findings"]["missing"]["examples"] == [text]
    assert verdict["splits"]["train"]["missing"] == 1
    named = tmp_path / "kinetics"
    named.mkdir()
    rows = [f"zumba,id{i},0,1" for i in range(10)]
    for split in ("train", "val"):
        (named / f"{split}.csv").write_text("label,youtube_id,time_start,time_end\n" + "\n".join(
            row.replace("id", split) for row in rows) + "\n")  # fmt: skip
        for i, original in enumerate(originals[:9]):
            data = original.read_bytes() + split.encode()
            (named / f"{split}{i}_000000_000001.mp4").write_bytes(data)
    verdict, _ = checked("k400", named)
    assert verdict["sound"], verdict["findings"]
    assert (verdict["splits"]["val"]["missing"], len(verdict["per_class"])) == (1, 400)
    assert verdict["findings"]["absent"]["count"] == 2 * 399


def test_numbers_of_another_class_list_are_noticed(root: Path, originals: list[Path]) -> None:
    names = load_labels("k400")
    for split, original in zip(("train", "val"), originals[:2], strict=True):
        folder = root / "k" / split / "zumba"
        folder.mkdir(parents=True)
        shutil.copy(original, folder / "a.mp4")
        (root / "k" / f"{split}.csv").write_text(f"{split}/zumba/a.mp4 {names.index('yoga')}\n")
    verdict, files = checked("k400", root / "k")
    assert verdict["findings"]["folder"]["count"] == 2
    assert files["a.mp4"].findings[0].message == "lies in a folder 'zumba', but is labeled yoga"


def test_a_missing_split_is_listed_and_an_empty_dataset_refused(root: Path, tmp_path: Path) -> None:
    verdict, _ = checked(table(root, "train/walk/0.mp4,a,,,train"))
    assert not verdict["sound"]
    assert kinds(verdict) == {"split": 1}
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        open_splits(str(tmp_path / "nowhere"))


def test_an_audit_that_is_given_up_ends_its_decoders(root: Path) -> None:
    files: Iterator[CheckedFile] = check_dataset(open_splits(str(root)), workers=2)
    next(files)
    files.close()  # type: ignore[attr-defined]
    assert list(files) == []


def test_of_many_files_that_look_the_same_each_is_named_once() -> None:
    same, other = np.zeros(12, np.float32), np.full(12, 50, np.float32)
    looks = [same, other, same, same, other, same]
    assert [*find_alike(looks, [1.0] * 6)] == [(0, 2), (0, 3), (0, 5), (1, 4)]
