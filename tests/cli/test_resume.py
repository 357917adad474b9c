"""Runs of `vidattn segment` that are killed or stopped, and resumed."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import processes
from tests.helpers import Run, write_video
from vidattn.inference.score_log import HEAD, MAGIC

WANTED = ("--stride", "0.1", "--batch-size", "2", "-f", "json,csv")
RECORD = HEAD.size + 5 + 4 * (3 + 4)  # probabilities, and changes between frames


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def cut(log: Path, windows: int, more: int = 0) -> None:
    """Shorten a log to this many windows and some bytes of the next."""
    data = log.read_bytes()
    header = HEAD.size + HEAD.unpack_from(data, len(MAGIC))[0] + len(MAGIC)
    log.write_bytes(data[: header + windows * RECORD + more])


def keep_log(quick: Run, monkeypatch: pytest.MonkeyPatch, *words: object, code: int = 0) -> None:
    """Finish a run, but keep its log as if the run had been killed before the end."""
    with monkeypatch.context() as patch:
        patch.setattr("vidattn.inference.score_log.ScoreLog.remove", lambda self: self.close())
        quick(*words, code=code)


def run_and_kill(log: Path, words: list[str], windows: int) -> None:
    """Run a command in a process; kill it when it has added this many windows to its log."""
    wanted = size(log) + windows * RECORD
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with processes.Popen([*words, "-q"], env=env) as process:
        until = time.monotonic() + 120
        while size(log) < wanted and time.monotonic() < until and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    assert size(log) >= wanted


@pytest.mark.parametrize(
    "kills", [(33,), pytest.param((7, 31, 33), marks=pytest.mark.slow)], ids=["once", "thrice"]
)
def test_a_killed_run_ends_with_the_same_bytes(
    quick: Run, model: Path, tmp_path: Path, kills: tuple[int, ...]
) -> None:
    video = write_video(tmp_path / "walk.mp4", seconds=12)
    words = ["segment", str(video), "-m", str(model), *WANTED]
    quick(*words, "-o", "whole")
    again = [*words, "-o", str(tmp_path / "killed"), "--resume"]
    for windows in kills:
        run_and_kill(tmp_path / "killed" / "walk.vidattn.log", again, windows)
        assert not (tmp_path / "killed" / "walk.vidattn.json").exists()
    quick(*again)
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("whole", "killed"))
    assert [p.name for p in two] == ["walk.vidattn.csv", "walk.vidattn.json"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_a_resumed_run_over_a_damaged_video_ends_with_the_same_bytes(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "walk.mp4", seconds=12)
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    video.write_bytes(data)
    words = ("segment", video, "-m", model, *WANTED)
    keep_log(quick, monkeypatch, *words, code=4)
    saved, log = tmp_path / "walk.vidattn.json", tmp_path / "walk.vidattn.log"
    whole, logged = saved.read_bytes(), log.read_bytes()
    assert set(json.loads(whole)["coverage"]["reasons"]) == {"E_DECODE"}
    for windows in (33, 100):  # before the damage and after it
        log.write_bytes(logged)
        cut(log, windows)
        quick(*words, "--resume", code=4)
        assert saved.read_bytes() == whole


def test_runs_that_reuse_windows_resume_to_the_same_bytes(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "walk.mp4", seconds=12)
    monkeypatch.setattr("vidattn.inference.resume.FRESH_WINDOWS", 32)  # as in a longer video
    words = ("segment", video, "-m", model, "--batch-size", "2", "-f", "json", "--stride", "0.1")
    words += ("--skip-static", "4")
    keep_log(quick, monkeypatch, *words)
    saved, log = tmp_path / "walk.vidattn.json", tmp_path / "walk.vidattn.log"
    whole, logged = saved.read_bytes(), log.read_bytes()
    assert json.loads(whole)["coverage"]["reused"] > 3
    ends = list(record_ends(logged))
    computed: list[int] = []
    with monkeypatch.context() as patch:
        from vidattn.inference.window_scoring import FeatureCache

        plain = FeatureCache.__call__
        patch.setattr(
            FeatureCache, "__call__", lambda s, v: (computed.append(len(v)), plain(s, v))[1]
        )
        for share in (0.45, 0.8, 1.0):
            log.write_bytes(logged[: ends[int(share * len(ends)) - 1]] + b"torn")
            saved.unlink()
            computed.clear()
            quick(*words, "--resume")
            assert saved.read_bytes() == whole, share
            assert not log.exists()
    assert sum(computed) < len(ends) / 2  # of a log with all windows little is done again


def record_ends(log: bytes) -> Iterator[int]:
    """Where each record of a log ends, the first one, which says what they depend on, aside."""
    at = len(MAGIC)
    while at < len(log):
        at += HEAD.size + HEAD.unpack_from(log, at)[0]
        yield at


@pytest.mark.parametrize("windows", [0, 5, 32, 33])
def test_wherever_a_run_ended_it_resumes_to_the_same_bytes(
    quick: Run,
    video: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    windows: int,
) -> None:
    words = ("segment", video, "-m", model, *WANTED)
    keep_log(quick, monkeypatch, *words)
    whole = (tmp_path / "walk.vidattn.json").read_bytes()
    (tmp_path / "walk.vidattn.json").unlink()
    cut(tmp_path / "walk.vidattn.log", windows, more=9)
    assert f"record {windows + 1} is cut off" in quick(*words, "--resume").stderr
    assert (tmp_path / "walk.vidattn.json").read_bytes() == whole
    assert not (tmp_path / "walk.vidattn.log").exists()


def test_known_windows_are_not_computed_again(
    quick: Run, video: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Side by side, for windows that share frames are computed again.
    words = ("segment", video, "-m", model, "--overlap", "0", "--batch-size", "2", "-f", "json")
    keep_log(quick, monkeypatch, *words)
    cut(tmp_path / "walk.vidattn.log", 5)
    shown: list[int] = []
    with monkeypatch.context() as patch:
        from vidattn.inference.window_scoring import FeatureCache

        plain = FeatureCache.__call__
        patch.setattr(FeatureCache, "__call__", lambda s, v: (shown.append(len(v)), plain(s, v))[1])
        quick(*words, "--resume")
    assert sum(shown) == 4  # 8 windows, of which the first 2 batches of 2 are known


def test_a_run_with_other_settings_is_refused(
    quick: Run, video: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_log(quick, monkeypatch, "segment", video, "-m", model, *WANTED)
    log = (tmp_path / "walk.vidattn.log").read_bytes()
    other = quick("segment", video, "-m", model, *WANTED, "--stride", 0.2, "--resume", code=3)
    assert "stride_seconds was 0.1, is 0.2" in other.stderr
    assert "leave out --resume" in other.stderr
    assert (tmp_path / "walk.vidattn.log").read_bytes() == log
    # Post-processing is no part of a run.
    quick("segment", video, "-m", model, *WANTED, "--threshold", 0.5, "--resume")


def test_a_video_that_has_changed_is_refused(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "walk.mp4")
    keep_log(quick, monkeypatch, "segment", video, "-m", model, *WANTED)
    os.utime(video, (1, 1))
    done = quick("segment", video, "-m", model, *WANTED, "--resume", code=3)
    assert "input modified was" in done.stderr


def test_finished_videos_are_skipped(quick: Run, model: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, seconds=1)
    quick("segment", "a.mp4", "-m", model, "-f", "json", "-o", "out")
    before = (tmp_path / "out" / "a.vidattn.json").read_bytes()
    words = ("segment", "a.mp4", "b.mp4", "-m", model, "-f", "json", "-o", "out", "--resume")
    done = quick(*words)
    assert "note: a.mp4: done before; wrote out/a.vidattn.json\n" in done.stderr
    assert "note: wrote out/b.vidattn.json\n" in done.stderr
    assert "b.mp4" in done.stdout
    assert "a.mp4" not in done.stdout
    alone = quick("segment", "a.mp4", "-m", model, "-f", "json", "-o", "out", "--resume")
    assert alone.stdout.startswith("a.mp4")
    documents = map(json.loads, quick(*words, "--json").stdout.splitlines())
    assert [one["input"]["path"] for one in documents] == ["a.mp4", "b.mp4"]
    assert (tmp_path / "out" / "a.vidattn.json").read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a.vidattn.json",
        "b.vidattn.json",
    ]
    other = quick(*words, "--stride", 0.3, code=3)
    assert "a.vidattn.json: is of another run: settings stride_seconds was 0.125" in other.stderr
    part = quick(*words, "--end", 0.8, code=3)
    assert "a.vidattn.json: is of another run: part end was None, is 0.8" in part.stderr


def test_an_interrupted_timeline_is_completed(
    quick: Run, video: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("segment", video, "-m", model, *WANTED)
    quick(*words, "-o", "whole")
    from vidattn.cli.terminal.console import PlainProgress
    from vidattn.cli.terminal.signals import StopRequested

    def stop(track: PlainProgress) -> None:
        track.done += 1
        if track.done == 20:
            raise StopRequested(15)

    with monkeypatch.context() as patch:
        patch.setattr(PlainProgress, "step", stop)
        patch.setattr("os._exit", sys.exit)
        done = quick(*words, code=143)
        assert "note: the same command with --resume continues" in done.stderr
        write_video(tmp_path / "other.mp4")
        for more in ("--resume", "--skip-existing"):
            done = quick(*words, "other.mp4", "-o", "two", more, code=143)
            assert "note: the same command continues" in done.stderr
            done = quick(*words, "other.mp4", "-o", "two", code=143)
            assert "note: the same command with --skip-existing continues" in done.stderr
    part = json.loads((tmp_path / "walk.vidattn.json").read_text())
    assert part["coverage"]["reasons"] == ["E_INTERRUPTED"]
    assert (tmp_path / "walk.vidattn.log").exists()
    quick(*words, "--resume")
    name = "walk.vidattn.json"
    assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
