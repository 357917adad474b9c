"""A folder for each class."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from vidattn.data.labeled_dataset import split_validation
from vidattn.data.sets import open_dataset
from vidattn.data.sets.folder import open_folder
from vidattn.errors import DataError

Tree = Callable[..., Path]


def names(root: Path, split: str, **options: object) -> list[str]:
    items = open_folder(root, split, **options).items  # type: ignore[arg-type]
    return [Path(item.path).relative_to(root).as_posix() for item in items]


def test_splits_are_the_folders_train_and_val(tree: Tree) -> None:
    root = tree("train/run/a.mp4", "train/jump/deep/b.MKV", "val/run/c.webm", "train/run/notes.txt")
    train, val = open_folder(root, "train"), open_folder(root, "val")
    assert train.labels == val.labels == ("jump", "run")
    assert names(root, "train") == ["train/jump/deep/b.MKV", "train/run/a.mp4"]
    assert names(root, "val") == ["val/run/c.webm"]
    assert [item.label for item in train.items + val.items] == [0, 1, 1]
    assert train.notes == val.notes == ()


def test_classes_of_one_split_count_in_both(tree: Tree) -> None:
    root = tree("train/b/1.mp4", "val/a/2.mp4", "val/c/3.mp4")
    assert open_folder(root, "train").labels == open_folder(root, "val").labels == ("a", "b", "c")


@pytest.mark.parametrize("name", ["valid", "Validation", "test"])
def test_the_validation_split_has_other_names_too(tree: Tree, name: str) -> None:
    dataset = open_folder(tree("train/a/1.mp4", f"{name}/a/2.mp4"), "val")
    assert [Path(item.path).name for item in dataset.items] == ["2.mp4"]
    assert bool(dataset.notes) == (name == "test")


def test_test_is_not_validation_where_there_is_both(tree: Tree) -> None:
    assert names(tree("train/a/1.mp4", "val/a/2.mp4", "test/a/3.mp4"), "val") == ["val/a/2.mp4"]


def test_without_splits_a_fifth_of_every_class_is_for_validation(tree: Tree) -> None:
    root = tree(*(f"{label}/{i}.mp4" for label in ("x", "y") for i in range(10)), "z/only.mp4")
    train, val = open_folder(root, "train"), open_folder(root, "val")
    assert Counter(item.label for item in val.items) == {0: 2, 1: 2}
    assert Counter(item.label for item in train.items) == {0: 8, 1: 8, 2: 1}
    assert not {i.path for i in train.items} & {i.path for i in val.items}
    assert "20% of every class is for validation" in val.notes[0]
    assert "17 videos to train, 4 to validate" in val.notes[0]


def test_validation_videos_depend_on_the_names_alone() -> None:
    keys = [f"{i}.mp4" for i in range(20)]
    chosen = {key for key, back in zip(keys, split_validation(keys), strict=True) if back}
    again = {k for k, b in zip(keys[::-1], split_validation(keys[::-1]), strict=True) if b}
    assert chosen == again == {"0.mp4", "7.mp4", "8.mp4", "9.mp4"}


def test_a_single_train_folder_is_split(tree: Tree) -> None:
    root = tree(*(f"train/a/{i}.mp4" for i in range(5)))
    assert (len(names(root, "train")), len(names(root, "val"))) == (4, 1)


def test_a_class_may_be_called_train(tree: Tree) -> None:
    root = tree("train/1.mp4", "train/2.mp4", "bus/1.mp4", "bus/2.mp4")
    assert open_folder(root, "train").labels == ("bus", "train")


def test_training_needs_a_folder_train(tree: Tree) -> None:
    root = tree("val/a/1.mp4")
    assert len(open_folder(root, "val").items) == 1
    with pytest.raises(DataError, match="no folder train"):
        open_folder(root, "train")


def test_files_left_out_are_noted(tree: Tree) -> None:
    root = tree("a/1.mp4", "a/2.mp4", "loose.mp4", "empty/readme.txt", ".hidden/x.mp4")
    dataset = open_folder(root, "train")
    assert dataset.labels == ("a",)
    assert any("left out: 1 video outside the class folders" in note for note in dataset.notes)
    assert any("no classes: empty" in note for note in dataset.notes)


def test_no_videos_is_an_error_that_names_the_layout(tree: Tree) -> None:
    root = tree("a/picture.jpg")
    with pytest.raises(DataError, match="no videos in class folders") as caught:
        open_dataset(str(root))
    assert "<class>/<video>.mp4" in (caught.value.hint or "")


def test_known_names_give_the_numbers(tree: Tree) -> None:
    root = tree("train/Air_Drumming/1.mp4", "train/abseiling/2.mp4")
    dataset = open_folder(root, "train", names=("abseiling", "waxing legs", "air drumming"))
    numbers = {Path(i.path).parent.name: i.label for i in dataset.items}
    assert numbers == {"Air_Drumming": 2, "abseiling": 0}


def test_a_folder_that_is_no_known_class_is_named(tree: Tree) -> None:
    root = tree("train/abseiling/1.mp4", "train/juggling cats/2.mp4")
    with pytest.raises(DataError, match="1 folders are no class of this dataset: juggling cats"):
        open_folder(root, "train", names=("abseiling",))


def test_names_that_are_neither_sets_nor_folders_get_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="known: motion, k400, k600") as caught:
        open_dataset("k40")
    assert caught.value.hint == "did you mean k400?"
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(str(tmp_path / "nowhere"))


def test_a_folder_may_lie_below_the_data_root(tree: Tree) -> None:
    assert open_dataset("mine", tree("mine/a/1.mp4", "mine/a/2.mp4")).labels == ("a",)


def test_a_pattern_in_paths_keeps_groups_together(tree: Tree) -> None:
    names = [f"{label}/S{who}_{n}.mp4" for label in "xy" for who in range(5) for n in range(2)]
    root = tree(*names)
    subjects = [
        {Path(item.path).name[:2] for item in open_folder(root, split, group_by=r"(S\d)").items}
        for split in ("train", "val")
    ]
    assert (len(subjects[0]), len(subjects[1])) == (4, 1)
    assert not subjects[0] & subjects[1]
    with pytest.raises(DataError, match="names no group of x/S0_0"):
        open_folder(root, "train", group_by="T")
