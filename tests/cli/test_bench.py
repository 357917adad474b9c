"""`vidattn bench`: the tables it prints, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.helpers import Run, write_video
from vidattn.evaluation import benchmark, published


def test_the_models_of_the_paper_are_counted_and_not_run(
    quick: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("divided", "divided, L", "i3d-r50", "slowfast-r50")
    monkeypatch.setattr(published, "PAPER", [r for r in published.PAPER if r.name in names])
    done = quick("bench", "--model", "all")
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "divided 8 x 224 3 121.4 M 121.4 0.59 0.59 78.0 59.5" in rows
    assert "divided, L 96 x 224 3 121.5 M 7.14 7.14 80.7 62.3" in rows
    assert "i3d-r50 8 x 256 30 28.0 M 28.0 1.11 1.11 73.4" in rows
    assert "slowfast-r50 32 x 256 30 34.6 M 34.6 1.97 1.97 76.4 61.7" in rows
    plain = json.loads(quick("bench", "--json").stdout)
    assert [row["name"] for row in plain] == list(names)
    assert plain[0]["parameters"] == 121_392_558


def test_a_model_file_is_measured(quick: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SIDE", 64)
    options = ("--rounds", "1", "--device", "cpu", "--frames", "2")
    done = quick("bench", "-m", model, *options)
    assert "divided, 2 frames of 32x32" in done.stdout
    assert "cpu, fp32" in done.stdout
    beside = importlib.util.find_spec("transformers") is not None
    assert ("x Hugging Face's speed" in done.stdout) == beside
    facts = json.loads(quick("bench", "-m", model, *options, "--json").stdout)
    assert facts["ways"][0]["way"] == "vidattn"
    assert facts["ways"][0]["difference"] < 1e-5


def test_an_own_dataset_can_be_timed(quick: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for i in range(2):
            write_video(tmp_path / "clips" / name / f"{i}.mp4", 0.5)
    given = ("data.workers=0", "data.clips_per_epoch=8", "optim.batch_size=2", "model.depth=1")
    words = [word for setting in given for word in ("--set", setting)]
    shared = ("bench", "--dataset", "clips", *words)
    done = quick(*shared, "--train", "--rounds", 1, "--device", "cpu", "--json")
    document = json.loads(done.stdout)
    assert (document["recipe"], document["clips"]) == ("small", 2)
    assert set(document["seconds"]) == {"data", "forward", "backward", "optimizer"}
    assert "are for --train" in quick(*shared, code=2).stderr
