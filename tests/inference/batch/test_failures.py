"""The list of failures of a batch run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidattn.inference.batch.failures import FailureList, FailureRecord


def listed(folder: Path) -> list[str]:
    """The paths in the file, line by line."""
    lines = (folder / "failures.jsonl").read_text().splitlines()
    return [json.loads(line)["path"] for line in lines]


def test_the_list_survives_torn_lines_and_ends_in_order(tmp_path: Path) -> None:
    failures = FailureList(tmp_path)
    for name, attempt in (("b", 1), ("a", 1), ("b", 2), ("c", 1)):
        failures.add(FailureRecord(name, "E_DECODE", f"{name}\udcff: broken", attempt))
    with failures.path.open("ab") as file:
        file.write(b'{"path": "torn", "co')
    failures.add(FailureRecord("d", "E_GONE", "gone"))
    attempts = {path: record.attempt for path, record in failures.read().items()}
    assert attempts == {"a": 1, "b": 2, "c": 1, "d": 1}
    failures.sort({"c"})
    assert listed(tmp_path) == ["a", "b", "d"]
    failures.sort({"a", "b", "d"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        '{"path": ["a"], "code": "E", "message": "m"}',
        '{"path": 3, "code": "E", "message": "m"}',
        '{"path": "a", "code": "E", "message": "m", "attempt": "x"}',
        '{"path": "a"}',
        "[1]",
        "[" * 100_000,
    ],
)
def test_lines_of_another_kind_are_ignored(tmp_path: Path, line: str) -> None:
    failures = FailureList(tmp_path)
    failures.path.write_text(line + "\n")
    failures.add(FailureRecord("b", "E_GONE", "gone"))
    assert list(failures.read()) == ["b"]
    failures.sort(set())
    assert listed(tmp_path) == ["b"]
