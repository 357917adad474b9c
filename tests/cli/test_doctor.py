"""What a video is, what it would cost, and what is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import Run, write_video


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that end soon."""
    monkeypatch.setattr("vidattn.inference.estimate.TRIAL_SECONDS", 0.05)
    monkeypatch.setattr("vidattn.inference.estimate.DECODE_SECONDS", 0.05)


def test_a_video_is_described_and_its_cost_estimated(quick: Run, video: Path, model: Path) -> None:
    name, *rows = quick("doctor", video, "-m", model).stdout.splitlines()
    assert name == f"{video}  00:00:04.00  96x64 h264 10 fps"
    facts = dict(row.split(None, 1) for row in rows)
    assert facts["file"].startswith("mov, yuv420p (8 bit), constant frame rate, upright, a key")
    chosen = "one every 0.125 s by default, 4 frames each"
    assert (facts["windows"], facts["model"]) == (f"29 of 0.5 s, {chosen}", "tiny (MIT), fp32")
    assert facts["needs"].endswith("measured on 16 windows")
    assert "by pyav" in facts["decode"]


def test_a_dry_run_estimates_and_writes_nothing(quick: Run, model: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.mp4", seconds=12)
    words = ["walk.mp4", "-m", model, "--overlap", "0.5", "--batch-size", "2", "--start", "2"]
    document = json.loads(quick("segment", *words, "--dry-run", "--json").stdout)
    assert document["schema"] == "vidattn/estimate/1"
    assert (document["windows"], document["settings"]["stride_seconds"]) == (39, 0.25)
    assert 0 < document["tried"] <= 39
    assert document["decode_fps"] > 0
    assert document["total_s"] >= document["windows"] * document["window_s"]
    assert document["memory_mb"] > 50
    assert document["input"]["key_seconds"] > 0
    assert [p.name for p in tmp_path.iterdir()] == ["walk.mp4"]


def test_doctor_names_failures(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    done = quick("doctor", "empty.mp4", video, "-m", model, "--json", code=4)
    assert "empty.mp4: the file is empty" in done.stderr
    failed, report = map(json.loads, done.stdout.splitlines())
    assert (failed["schema"], failed["error"]["code"]) == ("vidattn/failure/1", "E_EMPTY")
    assert (failed["input"]["path"], report["input"]["path"]) == ("empty.mp4", str(video))
    quick("doctor", "empty.mp4", "-m", model, code=3)
    quick("doctor", "none.mp4", "-m", model, code=3)


def test_the_installation_is_listed(quick: Run) -> None:
    report = json.loads(quick("doctor", "--offline", "--json").stdout)
    assert report["readers"]["pyav"]
    assert report["cpu"]["capability"]
    assert "motion-tiny" in report["models"]
    assert list(report["sandbox"]) == ["seccomp", "landlock"]
    assert report["network"] == "not to be used"
    text = quick("doctor", "--offline").stdout
    assert [line.split()[0] for line in text.splitlines()] == [
        "vidattn", "cpu", "devices", "readers", "sandbox", "cache", "models", "network",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["segment", "classify", "doctor"])
def test_a_broken_video_is_named_before_a_model_is_downloaded(
    quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def download(*given: object, **more: object) -> Path:
        raise AssertionError("a download")

    monkeypatch.setattr("vidattn.weights.download.download", download)
    (tmp_path / "broken.mp4").write_text("no video")
    done = quick(command, "broken.mp4", code=3)
    assert done.stderr.startswith("error: broken.mp4: not a video file")
