"""Small tables: boxes, groups, start times and deployments are read by one rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vidattn.errors import DataError, VidattnError
from vidattn.inference.batch.groups import parse_groups
from vidattn.inference.batch.start_times import StartTimes
from vidattn.io.csv_table import parse_columns, read_columns
from vidattn.output.camtrap import read_deployments, read_taxa
from vidattn.video.boxes import load_tracks

READERS: dict[str, tuple[str, Callable[[Path], object], object]] = {
    "boxes": (
        "Video,frame,x,y,w,h\na.mp4,3,1.5,2,5,6\n",
        lambda path: load_tracks(str(path))["a.mp4"].boxes,
        ((1.5, 2.0, 6.5, 8.0),),
    ),
    "groups": (
        "FILE,habitat\na.mp4,wood\n",
        lambda path: parse_groups(f"{path}:Habitat")("a.mp4", ""),
        "wood",
    ),
    "start times": (
        "path,start\na.mp4,2024-05-01T01:00\n",
        lambda path: StartTimes.parse(str(path)).find("a.mp4"),
        "2024-05-01T01:00:00",
    ),
    "deployments": (
        "deploymentID,latitude,longitude,deploymentStart,deploymentEnd\n"
        "north,52.5,13.4,2024-05-01T00:00Z,2024-06-01T00:00Z\n",
        lambda path: (read_deployments(path)[0]["latitude"], len(read_deployments(path))),
        ("52.5", 1),
    ),
    "taxa": (
        "label,observationType,behavior\ndeer,animal,grazing\n",
        lambda path: read_taxa(path)["deer"]["behavior"],
        "grazing",
    ),
}


@pytest.mark.parametrize("mark", [",", ";", "\t"], ids=("comma", "semicolon", "tab"))
@pytest.mark.parametrize("name", READERS)
def test_every_table_may_be_saved_by_a_spreadsheet(tmp_path: Path, name: str, mark: str) -> None:
    text, read, expected = READERS[name]
    path = tmp_path / "table.csv"
    text = text.replace(",", mark).replace("\n", "\r\n")
    german = re.sub(r"(?<=\d)\.(?=\d)", ",", text) if mark != "," else text
    for each in (text, german):
        for encoding in ("utf-8-sig", "utf-16"):
            path.write_bytes(each.encode(encoding))
            assert read(path) == expected


@pytest.mark.parametrize("name", READERS)
def test_a_column_that_is_missing_is_named_beside_those_there_are(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("when;who\n1;2\n")
    with pytest.raises(VidattnError, match=r"table\.csv: .*no column .*; it has when, who"):
        READERS[name][1](path)


@pytest.mark.parametrize("name", READERS)
def test_a_binary_file_is_no_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0 ftypisom" + bytes(range(256)) * 40)
    with pytest.raises(VidattnError, match=r"a\.mp4: .*is no table but binary data") as caught:
        READERS[name][1](path)
    assert len(caught.value.message) < 200 + len(str(path))


def test_fields_keep_their_line_and_may_hold_separators() -> None:
    columns = {"path": ("path", "file"), "note": ("note",), "more": ("more",)}
    data = b'\n File ;"no;te, x";note\n\n" a;b.mp4 ";;"two\nlines"\n;;\nc.mp4\n'
    assert parse_columns(data, columns, ("path or more",)) == [
        (5, {"path": "a;b.mp4", "note": "two\nlines"}),
        (7, {"path": "c.mp4", "note": ""}),
    ]
    assert parse_columns(b"path,file\na,b\n", columns, ("path",)) == [(2, {"path": "a"})]


def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"path\n" + b"x" * 200_000)
    with pytest.raises(DataError, match=r"table\.csv: is no table: field larger than"):
        read_columns(path, {"path": ("path",)}, ("path",), DataError)
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(DataError, match=r"no column path; it has x{200}$"):
        read_columns(path, {"path": ("path",)}, ("path",), DataError)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"table\.csv: no column path; it is empty"):
        read_columns(path, {"path": ("path",)}, ("path",), DataError)


@pytest.mark.parametrize("name", ["groups", "start times", "taxa"])
def test_two_rows_for_one_name_are_an_error_unless_they_agree(tmp_path: Path, name: str) -> None:
    text, read, expected = READERS[name]
    header, row = text.splitlines()
    path = tmp_path / "table.csv"
    path.write_text(f"{header}\n{row}\n{row}\n")
    assert read(path) == expected
    other = row.replace("wood", "bog").replace("T01", "T02").replace("grazing", "resting")
    path.write_text(f"{header}\n{row}\n\n{other}\n")
    with pytest.raises(VidattnError, match=r"table\.csv: lines 2 and 4 differ, and both are of '"):
        read(path)
