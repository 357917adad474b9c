"""Notes about the model of a command: once, and short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Run
from vidattn.cli.model_loading import default_views, load_model
from vidattn.cli.option_groups import ModelOptions
from vidattn.config import ViewConfig
from vidattn.weights import download


class Notes:
    """A console that keeps its notes."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def note(self, message: str) -> None:
        self.taken.append(message)

    def warn(self, message: str) -> None:
        self.taken.append(f"warning: {message}")


def test_a_model_in_the_package_is_not_downloaded(quick: Run, tmp_path: Path) -> None:
    done = quick("models", "download", "motion-tiny", "-o", "mirror")
    assert done.stderr == "note: motion-tiny is in the package, there is nothing to download\n"
    assert not (tmp_path / "mirror").exists()


def test_a_default_that_cannot_be_downloaded_is_one_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise download.UnavailableError("no network")

    monkeypatch.setattr(download, "download", refuse)
    notes = Notes()
    load_model(notes, ModelOptions())
    assert len(notes.taken) == 1
    assert notes.taken[0].startswith("warning: CAMERA MOTION, NOT ACTIONS: labels are of motion-t")
    assert (
        "timesformer-k400 is not available (download.openmmlab.com: no network)" in notes.taken[0]
    )


def test_a_download_is_noted_once_when_it_begins_by_its_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def receive(*_: object, progress: Any, **__: object) -> None:
        progress(1, 2)
        progress(2, 2)
        raise download.UnavailableError("lost")

    monkeypatch.setattr(download, "download", receive)
    notes = Notes()
    load_model(notes, ModelOptions())
    first, second, last = notes.taken
    host = "download.openmmlab.com"
    assert first == f"downloading timesformer-k400 (Apache-2.0, about 487 MB) from {host}"
    assert second.startswith("downloading stam-16-k400 (Apache-2.0, about 477 MB) from miil-public")
    assert f"timesformer-k400 is not available ({host}: lost)" in last


def test_a_stand_in_for_the_default_is_a_warning_everywhere(
    quick: Run, video: Path, tmp_path: Path
) -> None:
    text = "CAMERA MOTION, NOT ACTIONS: labels are of motion-tiny and say how the camera moves"
    done = quick("segment", video, "--offline", "-q", "--overlap", "0", "-f", "json,html")
    assert done.stderr.startswith(f"warning: {text}")
    assert done.stderr.count(text) == 1
    (warning, *_) = json.loads((tmp_path / "walk.vidattn.json").read_text())["warnings"]
    assert warning.startswith(text)
    assert f'<p class="warning">{text}' in (tmp_path / "walk.vidattn.html").read_text()
    done = quick("classify", video, "--offline", "--json")
    assert done.stderr.count(text) == 1
    words = ("eval", "--views", "3x1", "--offline", "--samples", "10", "--device", "cpu")
    first, why, how, *_ = quick(*words).stdout.splitlines()
    assert first == "motion-tiny on motion (drawn camera motion, NOT KINETICS): 10 samples"
    assert why.startswith(f"  {text}")
    assert "timesformer-k400 is not available (not down" in why
    assert "vidattn eval -m timesformer-k400 --dataset k400 --data-root" in how
    assert json.loads(quick(*words, "--json").stdout)["warnings"][0].startswith(text)
    assert json.loads(done.stdout)["warnings"][0] == warning


def test_views_are_those_of_the_recipe_or_of_the_published_score() -> None:
    views = {
        name: (found.spatial, found.clips)
        for name in ("motion-tiny", "slowfast-k400", "tsm-ssv2", "stam-16-k400", "timesformer-k400")
        for found in [default_views(name)]
    }
    assert views.pop("motion-tiny") == (1, 1)
    assert views == {
        "slowfast-k400": (3, 10),
        "tsm-ssv2": (3, 2),
        "stam-16-k400": (1, 1),
        "timesformer-k400": (3, 1),
    }
    assert default_views(None) == default_views("timesformer-howto100m-8") == ViewConfig()
