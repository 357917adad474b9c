"""Lists, logs and documents that somebody spoiled: what a fuzzer found, each as it was."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest

from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.data.sets.csv_list import open_table
from vidattn.data.tabular import read_rows
from vidattn.errors import DataError, InputError, OutputError, WeightsError
from vidattn.evaluation import predictions
from vidattn.inference.score_log import MAGIC, ScoreLog
from vidattn.timeline import shot_cuts
from vidattn.training.checkpoint import load_state


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "path,label\na.mp4,{digits}\n", "class number is above"),
        ("a.csv", "path,label\na.mp4,99999999\n", "class number is above"),
        ("a.csv", "path,label\n" + "x" * 200_000 + ",b\n", "field larger than field limit"),
        ("a.txt", "{long} 0\n", "1 of 1 listed videos are missing"),
        ("a.jsonl", '{"path": "a", "label": "b", "split": "train"}\n{"path": "a", "label": "b"}\n',
         "line 2|row 2|the split ''"),
        ("a.jsonl", '{"path": {digits}}\n', "is not JSON"),
        ("a.jsonl", "[" * 100_000 + "\n", "is not JSON"),
        ("a.eaf", "<!DOCTYPE x>", "document type definition"),
    ],
    ids=["digits", "huge", "field", "name", "split", "json-digits", "deep", "doctype"],
)  # fmt: skip
def test_a_spoiled_list_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    text = text.replace("{digits}", "1" * 5000).replace("{long}", "n" * 3000)
    path = written(tmp_path / name, text)
    with pytest.raises(DataError, match=message) as caught:
        open_table(path, "train")
    assert str(path) in caught.value.message


def test_a_document_type_in_utf_16_is_refused_too(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'
    with pytest.raises(DataError, match="document type definition"):
        read_ground_truth(written(tmp_path / "a.eaf", text.encode("utf-16")))


def test_an_invalid_address_is_a_missing_video(tmp_path: Path) -> None:
    media = '<HEADER><MEDIA_DESCRIPTOR MEDIA_URL="http://[.mp4" TIME_ORIGIN="--5"/></HEADER>'
    text = f"<ANNOTATION_DOCUMENT>{media}</ANNOTATION_DOCUMENT>"
    [video] = read_ground_truth(written(tmp_path / "a.eaf", text)).videos
    assert video.name == "http://[.mp4"


@pytest.mark.parametrize("duration", ["1e999", str(10**400), "-1", '"x"'])
def test_an_invalid_duration_is_named(duration: str, tmp_path: Path) -> None:
    text = '{"database": {"v": {"subset": "val", "duration": D, "annotations": []}}}'
    with pytest.raises(DataError, match="v: an annotation"):
        read_ground_truth(written(tmp_path / "a.json", text.replace("D", duration)))


def test_shot_cuts_in_an_invalid_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a csv table"):
        shot_cuts.load_cuts(written(tmp_path / "a.csv", "x" * 200_000 + "\n"))


@pytest.mark.parametrize("header", [b"\xff\xfe\0\0\1", b"[]", b"7", b"{", b"[" * 100_000])
def test_a_log_with_another_first_record_is_refused(header: bytes, tmp_path: Path) -> None:
    data = MAGIC + struct.pack("<II", len(header), zlib.crc32(header)) + header
    path = written(tmp_path / "a.log", data)
    with ScoreLog(path, resume=True) as log, pytest.raises(OutputError, match="not a score log"):
        log.begin({"a": 1}, 3)
    assert path.read_bytes() == data


@pytest.mark.parametrize("facts", ["", "[]", "{", "1" * 5000])
def test_a_state_without_its_run_is_refused(facts: str, tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"vidattn-state": facts}}).encode()
    path = written(tmp_path / "s.safetensors", len(header).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError, match="its description of the run"):
        load_state(path)


@pytest.mark.parametrize("at", range(0, 1200, 60))
def test_predictions_with_a_wrong_byte_are_read_or_refused(at: int, tmp_path: Path) -> None:
    import numpy as np

    whole = predictions.Predictions(
        ("a", "b"), ("x", "y"), np.array([0, 1]), np.eye(2, dtype=np.float32)
    )
    path = predictions.save_predictions(whole, tmp_path / "a.npz")
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0x81
    path.write_bytes(data)
    try:
        loaded = predictions.load_predictions(path)
    except InputError as error:
        assert "not a file of predictions" in error.message  # noqa: PT017
    else:
        assert loaded.logits.shape == (2, 2)


def test_empty_rows_of_a_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        read_rows(written(tmp_path / "a.csv", "\n\n"))
