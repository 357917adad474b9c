"""Timelines at a glance: in a shell, in a notebook, as a table."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import two_windows
from vidattn.errors import InputError, UsageError
from vidattn.timeline import Timeline


def test_a_timeline_is_shown_in_two_lines() -> None:
    first, second = repr(two_windows()).splitlines()
    assert "4.0 s, 2 windows" in first
    assert second == "  2 segments: 0.0-2.0 s dive, 2.0-4.0 s swim>"


def test_a_notebook_shows_a_ribbon_as_wide_as_the_segments_and_marks_up_no_label() -> None:
    html = replace(two_windows(), labels=("<b>", *two_windows().labels[1:]))._repr_html_()
    assert re.findall(r"width:([\d.]+)%", html) == ["50.000", "50.000"]
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.split("</b>", 1)[1]


def test_a_saved_timeline_loads_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.vidattn.json"
    path.write_text(two_windows().to_json(), encoding="utf-8")
    assert Timeline.load(str(path)).to_json() == two_windows().to_json()
    with pytest.raises(InputError, match=r"none\.json"):
        Timeline.load(tmp_path / "none.json")


def test_a_table_has_a_row_for_each_segment() -> None:
    pandas = pytest.importorskip("pandas")
    frame = two_windows().to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame[["start", "stop", "label"]].values.tolist() == [[0, 2, "dive"], [2, 4, "swim"]]


def test_without_pandas_a_table_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas"):
        two_windows().to_frame()
