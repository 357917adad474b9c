"""What models there are, what each one is, how it is loaded, and foreign files made into ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Run, write_video
from vidattn import weights
from vidattn.cli.model_loading import default_views, load_model
from vidattn.cli.option_groups import ModelOptions
from vidattn.config import ViewConfig
from vidattn.data.embeddings import open_store
from vidattn.io.cache import open_checks
from vidattn.models.int8 import can_multiply_int8
from vidattn.weights import catalog, download


def test_the_list_names_licenses_and_published_scores(vidattn: Run) -> None:
    done = vidattn("models", "list")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "Apache-2.0" in rows["timesformer-k400"]
    assert "487  77.69 (3x1)" in rows["timesformer-k400"]
    assert rows["name"].split()[-2:] == ["top-1", "(views)"]
    assert "-meta: the authors' own file" in done.stderr
    assert "CC-BY-NC-4.0" in rows["timesformer-l-k400"]
    assert "motion-tiny" in rows


def test_info_shows_the_input_of_a_model(quick: Run, model: Path) -> None:
    facts = json.loads(quick("models", "info", model, "--json").stdout)
    assert (facts["name"], facts["license"]) == ("tiny", "MIT")
    assert facts["clip"]["step_seconds"] == 0.125
    assert facts["labels"] == ["walk", "run", "[b]jump"]
    assert "[b]jump" in quick("models", "info", model).stdout


def test_info_of_the_catalog_needs_no_download(quick: Run) -> None:
    facts = json.loads(quick("models", "info", "timesformer-l-k600", "--offline", "--json").stdout)
    assert facts["trained_on"].startswith("Kinetics-600: 600 human actions")
    assert facts["clip"] == "96 frames of 224 x 224 pixels, one every 0.133 s"
    assert facts["score"] == "k600 top-1 82.2, top-5 95.6 (views 3x1)"
    assert facts["use"].startswith("not for commercial use")
    assert facts["downloaded"] is False
    assert any("has not compared it with the original" in note for note in facts["notes"])
    assert any("states no license" in note for note in facts["notes"])
    assert any("issue tracker" in note for note in facts["notes"])
    assert facts["speed"].startswith("2380 G multiply-adds a clip")
    assert "sound" in facts["will_not_see"]
    assert len(facts["labels"]) == 600
    assert "may be used at work" in quick("models", "info", "stam-16-k400").stdout
    assert "movements of the camera only" in quick("models", "info", "motion-tiny").stdout


def test_an_imported_model_is_verified_and_renamed(quick: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("gehen\nrennen\nspringen\n", encoding="utf-8")
    done = quick("models", "import", model, "-o", "mine.safetensors", "--labels", "names.txt")
    assert done.stdout.strip() == "mine.safetensors"
    assert "valid, sha256" in quick("models", "verify", "mine.safetensors").stdout
    facts = json.loads(quick("models", "info", "mine.safetensors", "--json").stdout)
    assert facts["labels"] == ["gehen", "rennen", "springen"]


@pytest.mark.parametrize("command", ["info", "verify"])
def test_license_limits_are_shown(quick: Run, model: Path, tmp_path: Path, command: str) -> None:
    classifier = weights.load(model)
    card = replace(classifier.card, name="theirs", license="CC-BY-NC-4.0")
    weights.save(replace(classifier, card=card), tmp_path / "theirs.safetensors")
    done = quick("models", command, "theirs.safetensors")
    assert "theirs is CC-BY-NC-4.0: no commercial use" in done.stderr


def test_a_mirror_is_filled_from_the_cache_and_verified(quick: Run, tmp_path: Path) -> None:
    cached = download.cache_path(catalog.CATALOG["stam-16-k400"].location)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"weights")
    done = quick("models", "download", "stam-16-k400", "motion-tiny", "-o", "mirror")
    assert done.stdout == "mirror/stam-16-k400/stam_16.pth\n"
    assert quick("models", "verify", "mirror").stdout == "stam-16-k400/stam_16.pth: valid\n"
    (tmp_path / "mirror/stam-16-k400/stam_16.pth").write_bytes(b"others")
    done = quick("models", "verify", "mirror", code=3)
    assert "stam_16.pth: its sha256 is" in done.stdout
    assert "error: mirror: 1 file of this mirror not as listed" in done.stderr


def test_a_download_that_fails_does_not_stop_the_others(
    quick: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = quick("models", "download", "stam-8-k400", "stam-16-k400", code=3)
    assert "error: not downloaded: stam-8-k400, stam-16-k400" in done.stderr


@pytest.mark.parametrize("layout, name", [("official", "theirs.pyth"), ("hf", "theirs")])
def test_exports_import_again(
    quick: Run, model: Path, tmp_path: Path, layout: str, name: str
) -> None:
    done = quick("models", "export", model, "--layout", layout, "-o", name)
    assert done.stdout.strip() == name
    done = quick("models", "import", name, "-o", "again.safetensors")
    one, other = (
        json.loads(quick("models", "info", path, "--json").stdout)
        for path in (model, "again.safetensors")
    )
    assert {**one, "sha256": ""} == {**other, "sha256": ""}
    again = (tmp_path / "again.safetensors").read_bytes()
    weights.save(weights.load(model), tmp_path / "plain.safetensors")
    assert again == (tmp_path / "plain.safetensors").read_bytes()


@pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
def test_a_model_is_calibrated_once_for_int8(
    vidattn: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    words = ("--layout", "vidattn", "--int8", video, "-o", "mine.safetensors")
    done = vidattn("models", "export", model, *words)
    assert done.stdout == "mine.safetensors\n"
    checked = "calibration clips of the model's file: same best label in"
    assert checked in done.stderr
    words = ("-m", "mine.safetensors", "--precision", "int8", "-f", "json", "--overlap", "0")
    assert checked in vidattn("segment", video, *words).stderr
    found = json.loads((tmp_path / "walk.vidattn.json").read_text())["model"]["int8"]
    facts = json.loads(vidattn("models", "info", "mine.safetensors", "--json").stdout)
    assert found == facts["int8"]
    first = (tmp_path / "mine.safetensors").read_bytes()
    vidattn(
        "models", "export", "mine.safetensors", "--layout", "vidattn", "-o", "again.safetensors"
    )
    assert (tmp_path / "again.safetensors").read_bytes() == first


@pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
def test_a_calibration_names_what_it_could_not_read_and_few_clips(
    quick: Run, model: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "walk.mp4", seconds=4)
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    video.write_bytes(data)
    words = ("--layout", "vidattn", "--int8", video, "-o", "mine.safetensors")
    lines = quick("models", "export", model, *words).stderr.splitlines()
    assert any(x.startswith(f"warning: {video}: ") and "not seen (E_DECODE)" in x for x in lines)
    assert any(" calibration clips: a calibration is for videos like its own" in x for x in lines)


def test_the_cache_is_counted_and_cleared(quick: Run, tmp_path: Path) -> None:
    store, checks = open_store(), open_checks()
    store.write("a.npz", b"1234")
    checks.write("a.json", b"{}")
    shown = quick("models", "cache").stdout
    assert f"folder      {tmp_path / 'cache'}\n" in shown
    assert "embeddings  1 file, 0.0 MB\nchecks      1 file, 0.0 MB\n" in shown
    facts = json.loads(quick("models", "cache", "--clear", "--json").stdout)
    assert facts["removed"] == 2
    assert facts["embeddings"] == facts["checks"] == {"files": 0, "bytes": 0}
    assert store.files() == checks.files() == []


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
