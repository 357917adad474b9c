"""The scripts that make the findings of the papers again."""

from __future__ import annotations

import csv
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.data import layouts
from tests.data.conftest import clips as clips
from tests.data.conftest import moving_square
from tests.helpers import encode_video
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.config.labels import COUNTS, load_labels
from vidattn.models.classifier import Classifier, build_model
from vidattn.weights.safetensors_file import save

ROOT = Path(__file__).parent.parent
PAPER = ROOT / "examples" / "paper"
MODULES = {"experiment", "networks", "plot", "tasks"}
SCRIPTS = sorted(p for p in PAPER.glob("*.py") if p.stem not in {*MODULES, "published"})


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that the scripts share, with little to measure on."""
    monkeypatch.syspath_prepend(str(PAPER))
    import experiment

    monkeypatch.setattr(experiment, "BATCH", 2)
    monkeypatch.setattr(experiment, "VALIDATION", 4)
    return experiment


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_writes_a_table_and_a_plot(
    script: Path, paper: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ["--most", "32"] if script.stem == "cost_curves" else ["--steps", "1"]
    monkeypatch.setattr(sys, "argv", [str(script), "--seeds", "1", *few, "--out", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    assert len((tmp_path / f"{script.stem}.csv").read_text().splitlines()) > 3
    assert (tmp_path / f"{script.stem}.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("name", ["k400", "ssv2", "diving48"])
def test_published_weights_are_measured_on_a_folder_of_videos(
    name: str, paper: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "k400":
        layouts.official_kinetics(tmp_path, place_moving_square, name)
    elif name == "ssv2":
        layouts.ssv2(tmp_path, place_moving_square, "something-something-v2-", "videos")
    else:
        layouts.diving48(tmp_path, place_moving_square)
    config = TimeSformerConfig("divided", COUNTS[name], 2, 16, 8, 8, 1, 2)
    clip = ClipConfig(frames=2, step_seconds=0.2, short_side=16, crop=16)
    weights = save(
        Classifier(build_model(config), clip, load_labels(name)), tmp_path / "w.safetensors"
    )
    command = ["published.py", name, "--data-root", str(tmp_path), "--out", str(tmp_path / "p.csv")]
    monkeypatch.setattr(sys, "argv", [*command, "--model", f"{weights}=50", "--sample", "3"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PAPER / "published.py"), run_name="__main__")
    with (tmp_path / "p.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["dataset"], row["videos"], row["failed"]) == (name, "3", "0")
    inside = float(row["low"]) - 0.5 <= 50 <= float(row["high"]) + 0.5
    assert ended.value.code == (0 if inside else 7)


def place_moving_square(path: Path, kind: str, number: int) -> None:
    codec = "libvpx" if path.suffix == ".webm" else "libx264"
    encode_video(path, moving_square(kind, number)[:6], 10, codec)


def test_all_published_scores_are_claims(paper: ModuleType) -> None:
    import published

    assert [c.model for c in published.published_claims("ssv2")][:1] == ["timesformer-ssv2"]
    assert published.parse_claim("stam-16-k400") == published.Claim("stam-16-k400", 79.3, "1x1")
    assert published.parse_claim("mine.safetensors=74.9").top1 == 74.9


def test_a_folder_of_videos_takes_the_place_of_drawn_ones(
    clips: Path, paper: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--seeds", "1", "--steps", "1", "--out", str(tmp_path), "--dataset", str(clips)]
    monkeypatch.setattr(sys, "argv", ["positions.py", *words])
    runpy.run_path(str(PAPER / "positions.py"), run_name="__main__")
    with (tmp_path / "positions.csv").open() as file:
        assert [row["task"] for row in csv.DictReader(file)] == [clips.name] * 3


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--seeds", "0"), 2, "'0' is not a number of at least 1"),
        (("--steps", "-1"), 2, "--steps"),
        (("--dataset", "nowhere"), 3, "error: 'nowhere' is neither a known dataset nor a folder"),
    ],
)
def test_impossible_requests_are_told_in_a_line(
    words: tuple[str, ...],
    code: int,
    told: str,
    paper: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["positions.py", *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PAPER / "positions.py"), run_name="__main__")
    assert ended.value.code == code
    assert told in capsys.readouterr().err


def test_the_page_shows_the_results_that_lie_beside_it(paper: ModuleType) -> None:
    page = (PAPER / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"results/(\w+)\.svg", page))
    assert shown
    for name in shown - {"cost_curves"}:
        rows = paper.read_rows(PAPER / "results" / f"{name}.csv")
        assert paper.table(paper.summarize(rows)) in page, name
        assert min(len(one.scores) for one in paper.summarize(rows)) >= 3, name


def test_every_link_of_a_page_leads_somewhere() -> None:
    for page in PAPER.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        places = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", text)
        assert all((page.parent / (link or image)).exists() for link, image in places), page.name
