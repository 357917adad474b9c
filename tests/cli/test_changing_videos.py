"""Videos that change during a command, and many videos through few decoders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.helpers import Run, write_video
from vidattn.inference.scorer import Scorer
from vidattn.video import Limits, Prefetcher
from vidattn.video.process.child import WorkerProcess
from vidattn.video.process.client import SupervisedVideo

WANTED = ("-f", "json,html", "-o", "out")


@pytest.mark.parametrize("how", ["grown", "written over", "replaced"])
@pytest.mark.parametrize("command", ["segment", "classify"])
def test_a_video_that_changes_during_the_run_has_no_results(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, how: str
) -> None:
    (tmp_path / "videos").mkdir()
    videos = [write_video(tmp_path / "videos" / f"{name}.mp4", seconds=1) for name in "ab"]
    looked = Scorer.classify_frames

    def look(self: Scorer, clips: Sequence[Tensor]) -> list[Tensor]:
        if videos[0].stat().st_ino == inode and videos[0].stat().st_size == size:
            if how == "replaced":
                write_video(tmp_path / "other.mp4", seconds=1).replace(videos[0])
            else:
                with videos[0].open("ab" if how == "grown" else "wb") as file:
                    file.write(b"more of it")
        return looked(self, clips)

    size, inode = videos[0].stat().st_size, videos[0].stat().st_ino
    monkeypatch.setattr(Scorer, "classify_frames", look)
    done = quick(command, "videos", "-m", model, *WANTED, code=4)
    assert "videos/a.mp4: the file changed while it was read" in done.stderr
    (failure,) = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    assert json.loads(failure)["code"] == "E_CHANGED"
    there = sorted(path.name for path in (tmp_path / "out" / "videos").iterdir())
    assert there == ["b.vidattn.html", "b.vidattn.json"]


def test_many_videos_share_two_decoders_and_give_the_results_of_each_alone(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for i in range(3):
        write_video(folder / f"{i}.mp4", seconds=0.6 + 0.1 * i, shots=(0, 3) if i % 2 else (0,))
    (folder / "1b.mp4").write_bytes((folder / "1.mp4").read_bytes()[:900])
    processes: list[str] = []
    plain = WorkerProcess.__init__

    def begin(self: WorkerProcess, *given: object) -> None:
        processes.append("one")
        plain(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "__init__", begin)
    words = ("-m", model, "-f", "json,html,csv", "--snap-to-cuts")
    quick("segment", "videos", *words, "-o", "together", code=4)
    # Two to begin with; the broken video takes its own along, and is tried again in one of its own.
    assert len(processes) <= 2 + 2
    for i in range(3):
        quick("segment", f"videos/{i}.mp4", *words, "-o", "alone/videos")
    together, alone = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.vidattn.*")}
        for root in (tmp_path / "together", tmp_path / "alone")
    )
    assert (len(together), together) == (9, alone)


def test_finished_inputs_stay_closed(
    quick: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "videos").mkdir()
    for name in "abc":
        write_video(tmp_path / "videos" / f"{name}.mp4", seconds=0.5)
    expected: list[str] = []
    monkeypatch.setattr(Prefetcher, "prefetch", lambda self, path, **_: expected.append(path))
    words = ("classify", "videos", "-m", model, *WANTED, "--skip-existing")
    quick(*words)
    assert expected == ["videos/b.mp4", "videos/c.mp4"]
    for name in "ac":
        (tmp_path / "out" / "videos" / f"{name}.vidattn.json").unlink()
    expected.clear()
    quick(*words)
    assert expected == []


def test_larger_frames_and_other_codecs_are_optional(quick: Run, model: Path, video: Path) -> None:
    limits: list[Limits] = []
    for command in ("classify", "segment", "explain"):
        words = (command, video, "-m", model, "--json")
        refused = quick(*words, "--max-pixels", 6143, code=3)
        assert "frames of 96x64 are more than 6143 pixels" in refused.stderr
        assert "timeline, eval and doctor take --max-pixels 6144" in refused.stderr
        enough = 100_000 if command == "explain" else 6144  # whose pictures are enlarged
        quick(*words, "--max-pixels", enough)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Prefetcher, "__call__", lambda self, *_, **__: limits.append(self.limits))
            with pytest.raises((AttributeError, TypeError)):  # None is no video
                quick(*words, "--any-codec")
    assert limits == [Limits(any_codec=True)] * 3


def test_limits_hold_whenever_an_explained_video_is_opened(
    quick: Run, model: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[Limits | None] = []
    begin = SupervisedVideo.__init__

    def noted(video: SupervisedVideo, *given: Any, **more: Any) -> None:
        limits.append(more.get("limits"))
        begin(video, *given, **more)

    monkeypatch.setattr(SupervisedVideo, "__init__", noted)
    words = ("explain", video, "-m", model, "--at", "1", "--mp4", "--max-pixels", 200_000)
    quick(*words)
    assert limits == [Limits(max_pixels=200_000)] * 5


def test_limits_hold_for_the_other_commands(quick: Run, model: Path, video: Path) -> None:
    quick("segment", video, "-m", model, "-f", "json")
    Path("truth.csv").write_text("path,label,start,end\nwalk,walk,0,4\n")
    Path("list.csv").write_text(f"path,label,split\n{video},walk,val\n")
    for words in (
        ("doctor", video, "-m", model),
        ("timeline", "walk.vidattn.json", "-f", "mp4"),
        ("compare", "truth.csv", video, "-m", model),
        ("eval", "--dataset", "list.csv", "-m", model, "--views", "1x1"),
        ("eval", "--dataset", "list.csv", "-m", model, "--views", "1x1", "--workers", "1"),
    ):
        refused = quick(*words, "--max-pixels", 6143, code=None)
        assert refused.returncode in (3, 4), words
        assert "frames of 96x64 are more than 6143 pixels" in refused.stderr, words
        quick(*words, "--max-pixels", 1_000_000, "--any-codec")
