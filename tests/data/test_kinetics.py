"""Kinetics, in the layouts people have it in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vidattn.config.labels import load_labels
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError

Tree = Callable[..., Path]
HEADER = "label,youtube_id,time_start,time_end,split\n"
ROWS = [
    ("abseiling", "-3B32lodo2M", 59, 69),
    ("petting animal (not cat)", "_a_b", 0, 10),
    ("zumba", "0bcdefghijk", 117, 127),
]


def annotations(
    root: Path, name: str = "val.csv", split: str = "val", header: str = HEADER
) -> None:
    rows = "".join(f"{label},{i},{start},{end},{split}\n" for label, i, start, end in ROWS)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(header + rows)


def files(where: str = "{label}/") -> list[str]:
    return [where.format(label=label) + f"{i}_{a:06d}_{b:06d}.mp4" for label, i, a, b in ROWS]


def items_of(root: Path, split: str = "val", **options: object) -> list[tuple[str, str]]:
    opened = open_dataset("k400", root, split, **options)  # type: ignore[arg-type]
    assert opened.labels == load_labels("k400")
    return [(Path(item.path).name, opened.labels[item.label]) for item in opened.items]


EXPECTED = [(Path(path).name, row[0]) for path, row in zip(files(), ROWS, strict=True)]


@pytest.mark.parametrize("where", ["", "{label}/", "val/{label}/", "compress/val_256/"])
@pytest.mark.parametrize("name", ["val.csv", "annotations/kinetics_val.csv"])
def test_official_annotations_find_their_files(tree: Tree, where: str, name: str) -> None:
    root = tree(*files(where))
    annotations(root, name)
    assert items_of(root) == EXPECTED


def test_one_file_may_annotate_both_splits(tree: Tree) -> None:
    root = tree(*files(""))
    annotations(root, "kinetics400.csv", "validate")
    assert items_of(root) == EXPECTED
    with pytest.raises(DataError, match="no row belongs to train"):
        items_of(root, "train")


def test_the_annotations_of_the_other_split_are_not_taken(tree: Tree) -> None:
    root = tree(*files(""))
    annotations(root, "train.csv", "train")
    with pytest.raises(DataError, match="nothing in it lists the val split of k400") as caught:
        items_of(root, "val")
    assert "official annotations {train,val}.csv" in (caught.value.hint or "")
    for place in (root, root / "annotations", root / "splits", root / "val"):
        assert str(place) in caught.value.message


def test_an_older_header_and_plain_ids_are_fine(tree: Tree) -> None:
    root = tree(*(f"videos/{row[1]}.mp4" for row in ROWS))
    annotations(root, header="label,youtube_id,time_start,time_end,split,is_cc\n")
    (root / "val.csv").write_text((root / "val.csv").read_text().replace(",val\n", ",val,0\n"))
    assert [label for _, label in items_of(root)] == [row[0] for row in ROWS]


def test_lists_may_be_relative_to_the_folder_of_their_split(tree: Tree) -> None:
    root = tree("videos_val/abseiling/a.mp4")
    (root / "kinetics400_val_list_videos.txt").write_text("abseiling/a.mp4 0\n")
    assert items_of(root) == [("a.mp4", "abseiling")]


def test_a_tenth_may_be_missing_and_is_noted(tree: Tree) -> None:
    root = tree("abc_000001_000011.mp4")
    rows = [("zumba", f"id{i}", 0, 10) for i in range(20)]
    (root / "val.csv").write_text(
        HEADER + "".join(f"{label},{i},{a},{b},val\n" for label, i, a, b in rows)
    )
    for i in range(2, 20):
        (root / f"id{i}_000000_000010.mp4").touch()
    opened = open_dataset("k400", root, "val")
    assert len(opened.items) == 18
    assert "2 of 20 listed videos are missing (10.0%): id0_000000_000010.mp4" in opened.notes[0]
    with pytest.raises(DataError, match="2 of 20"):
        open_dataset("k400", root, "val", max_missing=0.05)
    (root / "id2_000000_000010.mp4").unlink()
    with pytest.raises(DataError, match="3 of 20"):
        open_dataset("k400", root, "val")


def test_rows_without_label_or_with_an_unknown_one_are_named(tree: Tree) -> None:
    root = tree("x.mp4")
    (root / "val.csv").write_text(
        HEADER + "juggling cats,a,0,10,val\n,b,0,10,val\nzumba,c,x,1,val\n"
    )
    with pytest.raises(DataError) as caught:
        items_of(root)
    assert "line 2: the label 'juggling cats' is no class of k400" in caught.value.message
    assert "line 3: no label" in caught.value.message
    assert "line 4: no youtube_id, or times that are not seconds" in caught.value.message


def test_datasets_have_search_paths(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("k400/train/zumba/a.mp4", "data/k600/train/zumba/b.mp4")
    monkeypatch.chdir(root)
    monkeypatch.delenv("VIDATTN_DATA", raising=False)
    with pytest.raises(DataError) as caught:
        open_dataset("k400")
    assert caught.value.exit_code == 3
    assert "searched: data/k400" in caught.value.message
    assert "--data-root" in (caught.value.hint or "")
    assert len(open_dataset("k600").items) == 1
    assert len(open_dataset("k400", root).items) == 1
    monkeypatch.setenv("VIDATTN_DATA", str(root))
    assert len(open_dataset("k400").items) == 1
