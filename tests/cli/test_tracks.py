"""A timeline on a terminal: the exact text at fixed widths, in colors, without, and on a pty."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import category

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tests import processes
from vidattn.cli.terminal import live
from vidattn.cli.terminal import timeline as report
from vidattn.cli.terminal.timeline import TerminalStyle
from vidattn.inference.events import Scored
from vidattn.timeline import Timeline
from vidattn.timeline.palette import COLORS, NONE, label_colors
from vidattn.timeline.pooling import Pool
from vidattn.timeline.segments import Segment
from vidattn.types import Window

SEGMENTS = (
    Segment(Window(0, 30), "walk", 0.83, 0),
    Segment(Window(30, 33), "background", 0.2, None),
    Segment(Window(33, 50), "playing the contrabassoon", 0.5, 2),
    Segment(Window(50, 60), "walk", 1.0, 0),
)
PART = Window(0, 60)
HUES = {None: NONE, **dict(enumerate(COLORS)), **dict.fromkeys(range(10, 15), COLORS[0])}


def shown(lines: Iterable[Text], width: int = 80, **more: Any) -> list[str]:
    """Lines as a console of that width prints them."""
    values = {"force_terminal": True, "color_system": None, "soft_wrap": True, **more}
    console = Console(file=io.StringIO(), width=width, highlight=False, **values)
    for line in lines:
        console.print(line)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def timeline() -> Timeline:
    """A minute of four windows: walk, walk, run, walk."""
    scores = np.array([[0.8, 0.2], [0.7, 0.3], [0.1, 0.9], [0.6, 0.4]])
    windows = tuple(Window(15.0 * i, 15.0 * i + 15) for i in range(4))
    return Timeline(source="a.mp4", labels=("walk", "run"), windows=windows, scores=scores)


def test_tracks_in_eighty_columns() -> None:
    assert shown(report.draw_tracks(SEGMENTS, HUES, PART, TerminalStyle(80))) == [
        "  walk                      ███████████████████────────────▐██████  66.7 %    2x",
        "  playing the contrabasso…  ─────────────────────██████████▌──────  28.3 %    1x",
        "  background                ───────────────────██─────────────────   5.0 %    1x",
        "                            0:00             0:30             1:00",
    ]


def test_tracks_in_forty_columns_with_and_without_unicode() -> None:
    assert shown(report.draw_tracks(SEGMENTS, HUES, PART, TerminalStyle(40))) == [
        "  walk          ████████─────▐██  66.7 %",
        "  playing the…  ─────────████▌──  28.3 %",
        "  background    ────────█───────   5.0 %",
        "                0:00        1:00",
    ]
    assert shown(report.draw_tracks(SEGMENTS, HUES, PART, TerminalStyle(40, ascii=True))) == [
        "  walk          ########-----###  66.7 %",
        "  playing the   ---------#####--  28.3 %",
        "  background    --------#-------   5.0 %",
        "                0:00        1:00",
    ]


def test_rows_in_eighty_and_forty_columns() -> None:
    assert shown(report.segment_rows(SEGMENTS, HUES, TerminalStyle(80))) == [
        "  00:00:00.0 - 00:00:30.0  walk                        83.0 %  ━━━━━━━━━━━━",
        "  00:00:30.0 - 00:00:33.0  background",
        "  00:00:33.0 - 00:00:50.0  playing the contrabassoon   50.0 %  ━━━━━━━━",
        "  00:00:50.0 - 00:01:00.0  walk                       100.0 %  ━━━━━━━━━━━━━━━",
    ]
    assert shown(report.segment_rows(SEGMENTS, HUES, TerminalStyle(40))) == [
        "  00:00:00.0  walk                83.0 %",
        "  00:00:30.0  background",
        "  00:00:33.0  playing the cont…   50.0 %",
        "  00:00:50.0  walk               100.0 %",
    ]


def test_a_classification_has_bars() -> None:
    whole = timeline().pool_windows(Pool.parse("mean"))
    assert shown(report.score_bars(whole, 5, TerminalStyle(40))) == [
        "   1  walk   55.0 %  ━━━━━━━━━",
        "   2  run    45.0 %  ━━━━━━━━",
    ]


@pytest.mark.parametrize("width", [32, 40, 59, 60, 80, 200])
@pytest.mark.parametrize("label", ["walk", "long " * 30, "走路" * 20, "\x1b[31mred", ""])
def test_no_line_is_wider_than_the_terminal(width: int, label: str) -> None:
    look = TerminalStyle(width)
    segments = [
        Segment(Window(i, i + 1), f"{label}{i % 12}", 1.0, i % 12) for i in range(40)
    ]  # fmt: skip
    part = Window(0, 40)
    lines = [
        *report.segment_rows(segments, HUES, look),
        *report.draw_tracks(segments, HUES, part, look),
    ]
    lines += report.score_bars(timeline().pool_windows(Pool.parse("mean")), 5, look)
    for text in shown(lines, 500):
        assert cell_len(text) <= width, text
        assert text.isprintable()


def test_labels_have_the_colors_of_the_report() -> None:
    text = "\n".join(
        shown(
            report.draw_tracks(SEGMENTS, HUES, PART, TerminalStyle(80)),
            color_system="truecolor",
            no_color=False,
        )
    )
    for color in COLORS[0], COLORS[2]:
        assert "38;2;{};{};{}m██".format(*color) in text


def test_labels_beyond_the_height_are_counted() -> None:
    segments = [Segment(Window(i, i + 1), f"label {i}", 1.0, i) for i in range(15)]
    lines = shown(report.draw_tracks(segments, HUES, Window(0, 15), TerminalStyle(80)))
    assert (len(lines), lines[-1]) == (12, "  and 5 more labels, 33.3 % together")


def test_background_is_never_among_the_labels_left_out() -> None:
    segments = [Segment(Window(i, i + 1), f"label {i}", 1.0, i) for i in range(15)]
    segments.append(Segment(Window(15, 16), "background", 0.1, None))
    lines = shown(report.draw_tracks(segments, HUES, Window(0, 16), TerminalStyle(80)))
    assert lines[9].startswith("  background")
    assert lines[-1] == "  and 6 more labels, 37.5 % together"


def test_totals_of_many_labels_have_a_line_each() -> None:
    windows = tuple(Window(i, i + 1) for i in range(5))
    names = ("walk", "run", "jump", "a long name", "sit")
    lines = [
        line.plain for line in report.segment_lines(Timeline("a.mp4", names, windows, np.eye(5)))
    ]
    assert lines[5:7] == ["  total:", "    a long name   20.0 %     1x"]
    assert len(lines) == 11


def test_totals_name_the_share_that_was_not_seen() -> None:
    lost = ((Window(5, 20), "E_INTERRUPTED"),)
    windows = tuple(Window(i, i + 1) for i in range(5))
    one = Timeline("a.mp4", ("walk", "run"), windows, [[1, 0]] * 5, duration=20, unreadable=lost)
    assert list(report.segment_lines(one))[-1].plain == "  total: walk 25.0 % (1x), not seen 75.0 %"
    many = Timeline("a.mp4", tuple("abcde"), windows, np.eye(5), duration=20, unreadable=lost)
    assert list(report.segment_lines(many))[-1].plain == "    not seen 75.0 %"
    shown = [line.plain for line in report.animated_lines(one, 5, TerminalStyle(80))]
    assert shown[-1] == "  not seen 75.0 %"


def test_partial_results_are_shown_during_the_work() -> None:
    windows = tuple(Window(i / 2, i / 2 + 1) for i in range(20))
    started: Any = SimpleNamespace(source="videos/a[b].mp4", windows=windows)
    partial = live._PartialTimeline(started, ("walk", "run"), 0.3)
    rows = [(0.9, 0.1)] * 6 + [None] + [(0.2, 0.8)] * 4
    for index, scores in enumerate(rows):
        row = None if scores is None else np.array(scores, np.float32)
        partial.add(Scored(index, windows[index], row))
    assert [(s.label, s.window.start, s.window.stop) for s in partial.segments] == [
        ("walk", 0, 3.5), ("run", 3.5, 6.0)
    ]  # fmt: skip
    picture = live.draw_progress(partial, 2.0, TerminalStyle(60))
    assert shown(picture.renderables, 60) == [  # type: ignore[arg-type]
        "  a[b].mp4",
        "  walk  ████████████▌─────────────────────────  33.3 %    1x",
        "  run   ────────────▐████████▌────────────────  23.8 %    1x",
        "        0:00             0:05             0:11",
        "  00:00:00.0 - 00:00:03.5  walk   90.0 %",
        "  00:00:03.5 -             run    80.0 %",
        "  11/20 windows  3x real time  00:00:02 left",
    ]


def on_a_terminal(words: list[str], folder: Path, columns: int, **variables: str) -> str:
    """What a command writes to a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 30, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONUTF8": "1"}
    with processes.Popen(
        words,
        cwd=folder,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**environment, **variables},
    ) as process:
        os.close(follower)
        output = b""
        while True:
            try:
                output += (data := os.read(leader, 1 << 16))
            except OSError:  # Linux: everybody has closed the other end
                break
            if not data:
                break
        assert process.wait(timeout=60) == 0, output
    os.close(leader)
    return output.decode("utf-8", "replace").replace("\r\n", "\n")


def columns(text: str) -> int:
    """Those of a terminal to which marks that join letters are columns of their own."""
    return cell_len(text) + sum(category(sign)[0] == "M" for sign in text)


def test_wide_and_joining_signs_stay_within_the_width() -> None:
    names = ("कैमरा दाईं ओर घूमता है", "カメラが右に動く", "walk")
    windows = tuple(Window(i, i + 1) for i in range(6))
    scores = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    wide = Timeline("फिल्मों की फिल्म/映画.mp4", names, windows, scores)
    look = TerminalStyle(80)
    lines = [line.plain for line in report.animated_lines(wide, 5, look)]
    assert max(map(columns, lines)) <= 80
    whole = Timeline("a.mp4", names, windows[:1], scores[:1], task="classify")
    assert max(columns(line.plain) for line in report.animated_lines(whole, 3, look)) <= 80
    # Plain lines have their columns below one another.
    plain = [line.plain for line in report.segment_lines(wide)][:3]
    assert len({cell_len(line.split("100.0")[0]) for line in plain}) == 1
    started: Any = SimpleNamespace(source="फिल्मों की फिल्म " * 9 + ".mp4", windows=windows)
    partial = live._PartialTimeline(started, names, 0.3)
    for index, row in enumerate(scores):
        partial.add(Scored(index, windows[index], np.array(row, np.float32)))
    picture = live.draw_progress(partial, 2.0, look)
    assert max(columns(line.plain) for line in picture.renderables) <= 80  # type: ignore[union-attr]


def bare(text: str) -> str:
    """Text without colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_saved_timeline_has_tracks_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(timeline().to_json())
    words = ["timeline", "a.json"]
    colored = on_a_terminal(words, tmp_path, 80)
    assert "\x1b[38;2;{};{};{}m".format(*label_colors(timeline())[0]) in colored
    lines = bare(colored).splitlines()
    assert lines[0] == "a.mp4  00:01:00  "
    assert set(
        shown(report.draw_tracks(timeline().segments, HUES, PART, TerminalStyle(80)))
    ) <= set(lines)
    assert all(cell_len(line) <= 80 for line in lines)
    plain = on_a_terminal(words, tmp_path, 80, NO_COLOR="1")
    assert "38;2" not in plain
    assert bare(plain) == bare(colored)
    ascii_ = on_a_terminal(words, tmp_path, 40, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert "#####" in ascii_
    assert bare(ascii_).isascii()
    assert all(cell_len(line) <= 40 for line in bare(ascii_).splitlines())
    dumb = on_a_terminal(words, tmp_path, 80, TERM="dumb")
    assert "  total: walk 75.0 % (2x), run 25.0 % (1x)" in dumb.splitlines()


def test_segment_clears_its_progress(video: Path, model: Path, tmp_path: Path) -> None:
    words = ["segment", str(video), "-m", str(model), "--stride", "0.02", "-f", "srt"]
    output = on_a_terminal(words, tmp_path, 80, VIDATTN_CACHE=str(tmp_path))
    assert "real time" in output
    assert "\x1b[?25h" in output or "\x1b[?25l" not in output  # the cursor is back
    assert "note: wrote walk.vidattn.srt" in bare(output)
