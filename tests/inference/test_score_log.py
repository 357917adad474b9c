"""A log of windows: what survives, what is noticed, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vidattn.errors import InputError, OutputError
from vidattn.inference.score_log import HEAD, MAGIC, ScoreLog, ScoreRecord

WHO = {"input path": "a.mp4", "settings stride_seconds": 0.5, "run batch size": 8}
RECORD = HEAD.size + 5 + 4 * 3


def written(path: Path, count: int = 4) -> bytes:
    """A log of `count` windows of three classes; the third could not be read."""
    rng = np.random.default_rng(0)
    with ScoreLog(path) as log:
        assert log.begin(WHO, 3) == {}
        for i in range(count):
            scores = None if i == 2 else rng.random(3, dtype=np.float32)
            log.add(ScoreRecord(i, scores, i < 2))
    return path.read_bytes()


def resumed(path: Path) -> tuple[dict[int, ScoreRecord], list[str]]:
    with ScoreLog(path, resume=True) as log:
        return log.begin(WHO, 3), log.notes


def test_a_log_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    written(path)
    records, notes = resumed(path)
    assert list(records) == [0, 1, 2, 3]
    assert (records[0].scores == np.random.default_rng(0).random(3, dtype=np.float32)).all()
    assert records[2].scores is None
    assert [r.whole for r in records.values()] == [True, True, False, False]
    assert notes == []


def test_a_log_cut_anywhere_gives_the_windows_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    data = written(path)
    begin = len(data) - 3 * RECORD - (HEAD.size + 5)
    ends = [begin, begin + RECORD, begin + 2 * RECORD]
    ends += [ends[-1] + HEAD.size + 5, len(data)]
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        records, notes = resumed(path)
        count = sum(length >= end for end in ends[1:])
        assert list(records) == list(range(count))
        torn = begin < length and length not in ends
        assert bool(notes) == torn, length
        if torn:
            assert f"record {count + 1} is cut off" in notes[0]
        # What is cut off is gone, so that the next record begins where the last good one ends.
        assert path.stat().st_size == max(e for e in ends if e <= max(length, begin))


@pytest.mark.parametrize("missing", [False, True])
def test_records_after_a_damaged_or_missing_one_do_not_count(missing: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    data = bytearray(written(path))
    second = len(data) - 2 * RECORD - (HEAD.size + 5)
    if missing:
        del data[second : second + RECORD]
    else:
        data[second + RECORD - 3] ^= 1
    path.write_bytes(data)
    records, notes = resumed(path)
    assert list(records) == [0]
    assert notes == [f"{path}: record 2 is damaged; resuming after 1 windows"]


def test_a_resumed_log_continues_after_its_last_record(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    data = written(path)
    path.write_bytes(data[:-7])
    with ScoreLog(path, resume=True) as log:
        assert len(log.begin(WHO, 3)) == 3
        rng = np.random.default_rng(0)
        rows = [rng.random(3, dtype=np.float32) for _ in range(3)]
        log.add(ScoreRecord(3, rows[2], False))
    assert path.read_bytes() == data


def test_another_run_is_refused_with_all_differences(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    data = written(path)
    other = {**WHO, "settings stride_seconds": 0.25, "run device": "cuda"}
    with ScoreLog(path, resume=True) as log, pytest.raises(InputError) as refused:
        log.begin(other, 3)
    assert "settings stride_seconds was 0.5, is 0.25" in refused.value.message
    assert "run device was unknown, is cuda" in refused.value.message
    assert "batch size" not in refused.value.message
    assert path.read_bytes() == data


def test_a_new_run_starts_a_new_log_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    written(path)
    with ScoreLog(path) as log:
        assert log.begin(WHO, 3) == {}
        assert log.notes == [f"{path}: 4 windows of an earlier run were discarded"]
        log.remove()
    assert not path.exists()


def test_a_log_in_use_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with ScoreLog(path) as log:
        log.begin(WHO, 3)
        with ScoreLog(path, resume=True) as second:
            with pytest.raises(OutputError, match="another run is writing it"):
                second.begin(WHO, 3)
            with pytest.raises(OutputError):
                ScoreLog(path).begin(WHO, 3)
        log.add(ScoreRecord(0, None, True))
    assert len(resumed(path)[0]) == 1


def test_any_other_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"my notes\n")
    for resume in (False, True):
        with (
            ScoreLog(path, resume=resume) as log,
            pytest.raises(OutputError, match="not a score log"),
        ):
            log.begin(WHO, 3)
    assert path.read_bytes() == b"my notes\n"
    os.mkfifo(tmp_path / "pipe")
    with ScoreLog(tmp_path / "pipe") as log, pytest.raises(OutputError, match="not a regular"):
        log.begin(WHO, 3)
    with ScoreLog(tmp_path) as log, pytest.raises(OutputError, match="not a regular"):
        log.begin(WHO, 3)


def test_records_of_another_shape_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    written(path)
    with ScoreLog(path, resume=True) as log:
        assert log.begin(WHO, 4) == {}
        assert "record 1 is damaged" in log.notes[0]
    assert path.read_bytes().startswith(MAGIC)


def test_a_full_disk_is_an_error_of_the_output() -> None:
    with ScoreLog("/dev/full") as log, pytest.raises(OutputError):
        log.begin(WHO, 3)
