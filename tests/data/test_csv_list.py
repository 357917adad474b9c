"""Lists of videos and labels, as people write them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vidattn.data.sets import open_dataset, open_samples
from vidattn.data.sets.csv_list import open_table
from vidattn.data.tabular import read_rows
from vidattn.errors import DataError
from vidattn.types import Item, Window

Tree = Callable[..., Path]


@pytest.fixture
def root(tree: Tree) -> Path:
    return tree("a.mp4", "b.mp4", "my clip, take 2.mp4", "sub/c d.mp4")


def written(root: Path, text: str, name: str = "list.csv") -> Path:
    path = root / name
    path.write_bytes(text.encode())
    return path


def read(path: Path, **options: object) -> list[tuple[str, str, Window | None, str]]:
    """(path, label, window, split) of every row, both splits."""
    rows = []
    for split in ("train", "val"):
        dataset = open_table(path, split, **options)  # type: ignore[arg-type]
        for item in dataset.items:
            name = Path(item.path).relative_to(path.parent).as_posix()
            rows.append((name, dataset.labels[item.label], item.window, split))
    return sorted(rows, key=str)


EXPECTED = [("a.mp4", "run", None, "train"), ("my clip, take 2.mp4", "high jump", None, "val")]


JSON_LINES = """\
{"path": "a.mp4", "label": "run", "split": "train", "note": {"deep": 1}}
{"split": "val", "label": "high jump", "path": "my clip, take 2.mp4", "start": null}"""


@pytest.mark.parametrize(
    "text, name",
    [
        ('a.mp4,run,train\n"my clip, take 2.mp4",high jump,val\n', "plain.csv"),
        ('path,label,split\na.mp4,run,train\n"my clip, take 2.mp4",high jump,val\n', "header.csv"),
        (
            '\ufeffpath,label,split\r\na.mp4,run,train\r\n"my clip, take 2.mp4",high jump,val\r\n',
            "bom_crlf.csv",
        ),
        (
            'Label;File;Subset\nrun;a.mp4;training\nhigh jump;"my clip, take 2.mp4";validation',
            "semicolons.csv",
        ),
        ("a.mp4\trun\ttrain\nmy clip, take 2.mp4\thigh jump\ttest\n", "tabs.csv"),
        (
            '\n\nid,split, label, video\n7,train, run, a.mp4\n8,val,high jump,"my clip, take 2.mp4"',  # noqa: E501
            "other_columns.csv",
        ),
        ("a.mp4|run|train\nmy clip, take 2.mp4|high jump|val", "bars.csv"),
        (JSON_LINES, "lines.jsonl"),
        ("a.mp4\trun\ttrain\r\nmy clip, take 2.mp4\thigh jump\tval\r\n", "utf_16.txt"),
    ],
)
def test_all_ways_of_writing_a_list_mean_the_same(root: Path, text: str, name: str) -> None:
    path = root / name
    path.write_bytes(text.encode("utf-16" if name == "utf_16.txt" else "utf-8"))
    assert read(path) == EXPECTED


@pytest.mark.parametrize("name", ["Start Frame", "end_frame", "onset", "fold", "segment", "t0"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_columns_of_spans_and_splits_are_not_dropped(root: Path, name: str, suffix: str) -> None:
    rows = {"csv": f"path,label,{name}\na.mp4,run,3\n",
            "jsonl": json.dumps({"path": "a.mp4", "label": "run", name: 3}) + "\n"}  # fmt: skip
    with pytest.raises(DataError, match=f"the column '{name}' has no meaning here"):
        open_table(written(root, rows[suffix], f"list.{suffix}"), "train")


def test_times_may_have_a_decimal_comma_where_no_comma_separates(root: Path) -> None:
    rows = read_rows(written(root, "path;label;start;end\na.mp4;1,2;0,5;12\n", "c.csv"))
    assert [(row.fields["label"], row.fields["start"]) for row in rows] == [("1,2", "0.5")]


def test_a_line_of_empty_quotes_is_a_blank_one(root: Path) -> None:
    text = 'a.mp4 0\n""\nsub/c d.mp4 0\n"my clip, take 2.mp4" 0\n'
    for rows in (text, text.replace('""', "")):
        table = written(root, rows, "list.txt")
        assert sum(len(open_table(table, half).items) for half in ("train", "val")) == 3
    with pytest.raises(DataError):
        open_table(written(root, '""\n', "list.txt"), "train")


def test_names_may_hold_commas_where_spaces_separate(root: Path) -> None:
    rows = read_rows(written(root, "lecture, part 1.mp4 0\nlecture, part 2.mp4 1\n", "c.txt"))
    assert [row.fields["path"] for row in rows] == ["lecture, part 1.mp4", "lecture, part 2.mp4"]


@pytest.mark.parametrize("split", ["partition", "set"])
def test_milliseconds_and_other_names_of_splits_are_read(root: Path, split: str) -> None:
    text = f"path,label,start_ms,end_ms,{split}\na.mp4,run,500,2000,train\nb.mp4,run,0,250,val\n"
    assert read(written(root, text)) == [
        ("a.mp4", "run", Window(0.5, 2), "train"),
        ("b.mp4", "run", Window(0, 0.25), "val"),
    ]


def test_columns_that_are_not_read_are_named(root: Path) -> None:
    text = "path,label,start,end,start_frame,weather\na.mp4,run,0,1,0,rain\nb.mp4,run,0,1,0,sun\n"
    notes = open_table(written(root, text), "train").notes
    assert any(note.endswith("columns that are not read: weather") for note in notes)


def test_spaces_separate_a_path_from_a_number(root: Path) -> None:
    written(root, 'a.mp4 0\nsub/c d.mp4 1\n"my clip, take 2.mp4" 1\n', "train.csv")
    written(root, "b.mp4 2\n", "val.csv")
    dataset = open_dataset(str(root), None, "train")
    assert dataset.labels == ("class 0", "class 1", "class 2")
    assert [(Path(i.path).name, i.label) for i in dataset.items] == [
        ("a.mp4", 0),
        ("c d.mp4", 1),
        ("my clip, take 2.mp4", 1),
    ]
    assert [i.label for i in open_dataset(str(root), None, "val").items] == [2]


def test_windows_are_seconds_and_may_be_open_at_the_start(root: Path) -> None:
    text = "path,label,start,end,split\na.mp4,x,1.5,3,train\na.mp4,y,,1,train\nb.mp4,x,,,train\n"
    dataset = open_table(written(root, text), "train")
    assert [item.window for item in dataset.items] == [Window(1.5, 3), Window(0, 1), None]
    assert dataset.items[0] == Item(str(root / "a.mp4"), 0, Window(1.5, 3))
    clocks = text.replace("1.5,3,", "0:01.5,00:00:03,")
    assert open_table(written(root, clocks), "train").items == dataset.items
    with pytest.raises(DataError, match="line 2: '0:99' is not a time: minutes and seconds end"):
        open_table(written(root, text.replace("1.5,3,", "1.5,0:99,")), "train")


def test_numbers_take_their_names_from_the_file_beside(root: Path) -> None:
    written(root, "run\nhigh jump\n", "labels.txt")
    path = written(root, 'a.mp4,0,train\n"my clip, take 2.mp4",1,val', "numbers.csv")
    assert read(path) == EXPECTED


def test_a_number_beyond_the_names_is_a_bad_row(root: Path) -> None:
    written(root, "run\n", "labels.txt")
    with pytest.raises(DataError, match="line 2: the label '1' is no class"):
        open_table(written(root, "a.mp4,0\nb.mp4,1\n"), "train")


def test_all_bad_rows_are_named_at_once(root: Path) -> None:
    rows = "a.mp4,x,1,2", ",x,,", "a.mp4,,,", "a.mp4,x,3,2", "a.mp4,x,one,2", "a.mp4,;,,"
    text = "\n".join(["path,label,start,end", *rows])
    with pytest.raises(DataError) as caught:
        open_table(written(root, text), "train")
    assert caught.value.message == (
        f"{root / 'list.csv'}: 5 bad rows\n"
        "  line 3: no path\n"
        "  line 4: no label\n"
        "  line 5: start 3 and end 2: expected 0 <= start < end\n"
        "  line 6: start and end are seconds, got 'one' and '2'\n"
        "  line 7: no label"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"path,label\n", "no row"),
        (b"a.mp4,\xff\n", "line 1 is not UTF-8"),
        (b"a,b,c,d,e,f,g\n" * 3, "cannot tell what its 7 columns are"),
        (b'a.mp4,"x\n', "line 1: "),
        (b"a.mp4,x\nb.mp4,y\ntake 2, c.mp4,x\n", "(?s)line 3: 3 fields where .* has 2.*quote a"),
        (b"path,label\n" + b",x\n" * 100, "(?s)100 bad rows.* and 80 more\nhint: "),
        (b"path,label,split\na.mp4,x,dev2\n", "line 2: the split 'dev2' is none of train, val and"),
    ],
)
def test_other_files_are_refused_as_lists(root: Path, content: bytes, message: str) -> None:
    path = root / "list.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_table(path, "train")


@pytest.mark.parametrize("name", ["a.mp4", "/dev/null"])
def test_other_things_are_refused_as_datasets(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: is neither a folder nor a list"):
        open_dataset(str(root / name))


def test_missing_files_are_counted_and_named(root: Path) -> None:
    rows = ["a.mp4,x", "b.mp4,y", *(f"lost{i}.mp4,x" for i in range(8))]
    path = written(root, "".join(f"{row},train\n" for row in rows))
    with pytest.raises(DataError) as caught:
        open_table(path, "train")
    assert "8 of 10 listed videos are missing (80.0%)" in caught.value.message
    assert "lost0.mp4" in caught.value.message
    assert caught.value.message.endswith("and 3 more")
    dataset = open_table(path, "train", max_missing=0.8)
    assert len(dataset.items) == 2
    assert "8 of 10" in dataset.notes[0]


def test_paths_begin_at_the_data_root(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("lists") / "mine.csv"
    path.write_text("a.mp4,x,train\n")
    assert open_dataset(str(path), root).items[0].path == str(root / "a.mp4")


def test_without_a_split_column_a_share_of_every_class_is_for_validation(tree: Tree) -> None:
    root = tree(*(f"{i}.mp4" for i in range(20)))
    val = open_table(written(root, "".join(f"{i}.mp4,{'xy'[i % 2]}\n" for i in range(20))), "val")
    assert sorted(item.label for item in val.items) == [0, 0, 1, 1]
    assert "16 videos to train, 4 to validate" in val.notes[0]


@pytest.mark.parametrize(("name", "opened"), [("none.csv", "none.csv"), ("train.csv", "")])
def test_a_list_of_a_header_alone_says_so(root: Path, name: str, opened: str) -> None:
    written(root, "path,label\n", name)
    with pytest.raises(DataError, match=f"{name}: has no rows below its header"):
        open_samples(str(root / opened))


def groups_of(folder: Path, text: str, **options: str) -> dict[str, set[str]]:
    """The first letters of the files of each split."""
    path = written(folder, text)
    return {
        split: {Path(i.path).name[0] for i in open_table(path, split, **options).items}  # type: ignore[arg-type]
        for split in ("train", "val")
    }


def test_whole_groups_are_chosen_so_that_every_class_validates(tree: Tree) -> None:
    """Ten subjects; two classes that only some of them show, as hashes alone would miss."""
    shown = {"abcdefghij": "walk", "abc": "sit", "hij": "jump"}
    names = [(who, label) for all_of, label in shown.items() for who in all_of]
    folder = tree(*(f"{who}_{label}.mp4" for who, label in names))
    rows = "".join(f"{who}_{label}.mp4,{label},{who}\n" for who, label in names)
    splits = groups_of(folder, "path,label,subject\n" + rows)
    assert not splits["train"] & splits["val"]
    assert len(splits["val"]) == 2
    assert splits["val"] & set("abc")
    assert splits["val"] & set("hij")
    named = rows.replace("subject", "who")
    assert groups_of(folder, "path,label,who\n" + named, group_by="who") == splits
    plain = "".join(f"{who}_{label}.mp4,{label}\n" for who, label in names)
    assert groups_of(folder, plain, group_by="^(.)_") == splits


def test_a_class_of_one_group_is_for_training(tree: Tree) -> None:
    folder = tree("a1.mp4", "a2.mp4", "b1.mp4", "c1.mp4")
    splits = groups_of(folder, "path,label,group\na1.mp4,x,a\na2.mp4,y,a\nb1.mp4,x,b\nc1.mp4,x,c\n")
    assert "a" in splits["train"]
    assert len(splits["val"]) == 1


def test_groups_that_cannot_be_told_are_named(tree: Tree) -> None:
    folder = tree("a.mp4", "b.mp4")
    for text, pattern, message in (
        ("a.mp4,x\nb.mp4,y\n", "subject", "is no column and names no group of a.mp4"),
        ("a.mp4,x\nb.mp4,y\n", "(", "neither a column nor a pattern"),
        ("path,label,split\na.mp4,x,train\nb.mp4,y,val\n", "a", "state their splits"),
        (
            "path,label,who\na.mp4,x,w\nb.mp4,y,\n",
            "who",
            "line 3: no who\nhint: .*or leave out --group-by",
        ),
        ("path,label,a\na.mp4,x,\nb.mp4,y,\n", "a", "2 bad rows\n  line 2: no a\n"),
        ("path,label,group\na.mp4,x,w\nb.mp4,y,\n", "", "line 3: no group\nhint: fill in group in"),
        (
            "path,label,Subject\na.mp4,x,w\nb.mp4,y,\n",
            "",
            "line 3: no subject\n.*, or rename the col",
        ),
    ):
        with pytest.raises(DataError, match=message):
            open_table(written(folder, text), "train", group_by=pattern)
