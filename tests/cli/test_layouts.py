"""Named sets in the layouts they are distributed in: trained on and measured from the shell."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.data import layouts
from tests.data.conftest import moving_square, write_frames
from tests.helpers import Run
from vidattn.config.labels import COUNTS

TINY = [
    *("--epochs", "1", "--batch-size", "4", "--device", "cpu", "-m", "small"),
    *("--set", "model.depth=1", "--set", "model.width=16", "--set", "model.heads=2"),
    *("--set", "model.patch=8", "--set", "model.size=16", "--set", "clip.crop=16"),
    *("--set", "clip.short_side=16", "--set", "clip.frames=2", "--set", "model.frames=2"),
    *("--set", "data.workers=0", "--set", "data.clips_per_epoch=0"),
]


def some(names: Iterable[str], *quickly: str) -> list[ParameterSet]:
    """All layouts; those not named wait for the slow tests (reading them is tested quickly)."""
    return [pytest.param(name, marks=[] if name in quickly else pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def put(tmp_path_factory: pytest.TempPathFactory) -> layouts.Place:
    """Links one of a few generated videos, all different, to where a layout wants it."""
    folder = tmp_path_factory.mktemp("originals")

    def place(path: Path, kind: str, number: int) -> None:
        original = folder / f"{kind}{number}.mp4"
        if not original.exists():
            write_frames(original, moving_square(kind, 10 * number + len(kind))[:10])
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(original, path)

    return place


def check_trains_and_measures(run: Run, dataset: str, root: Path) -> None:
    """One epoch, then the scores of every validation video, by the name of the set alone."""
    run("train", "--dataset", dataset, "--data-root", root, *TINY)
    words = ("eval", "-m", f"runs/{dataset}", "--views", "1x1", "--data-root", root, "--json")
    measured = run(*words, "--device", "cpu")
    result = json.loads(measured.stdout)
    assert (result["dataset"], result["videos"], result["scored"]) == (dataset, 4, 4)
    assert len(result["labels"]) == COUNTS.get(dataset.partition("-")[0], 6)
    assert [row["videos"] for row in result["per_class"]] == [2, 2]


@pytest.mark.parametrize("layout", some(layouts.NAMED, "k400 official", "diving48", "howto100m"))
def test_named_sets_are_trained_and_evaluated_in_every_layout(
    layout: str, quick: Run, put: layouts.Place, tmp_path: Path
) -> None:
    layouts.NAMED[layout](tmp_path, put)
    check_trains_and_measures(quick, layout.split()[0], tmp_path)


def test_kinetics_is_found_below_data_when_no_folder_is_named(
    quick: Run, put: layouts.Place, tmp_path: Path
) -> None:
    layouts.NAMED["k400 lists"](tmp_path / "data" / "k400", put)
    quick("train", "--dataset", "k400", *TINY)
    measured = quick("eval", "-m", "runs/k400", "--views", "3x1", "--device", "cpu")
    assert measured.stdout.startswith("k400 on k400: 4 videos\n")


KINETICS = [name for name in layouts.NAMED if name.startswith("k400")]
MEDIA = Path(os.environ.get("VIDATTN_MEDIA", "nowhere"), "labelled", "exercises")


@pytest.mark.skipif(not MEDIA.is_dir(), reason="VIDATTN_MEDIA names no folder of real clips")
@pytest.mark.parametrize("layout", some(KINETICS, "k400 one-file"))
def test_real_clips_are_read_as_kinetics(layout: str, quick: Run, tmp_path: Path) -> None:
    folders = dict(zip(layouts.KINDS, ("pull_ups", "squats"), strict=True))
    clips = {
        kind: sorted((MEDIA / folder).iterdir(), key=lambda path: path.stat().st_size)
        for kind, folder in folders.items()
    }

    def put(path: Path, kind: str, number: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(clips[kind][number])

    layouts.NAMED[layout](tmp_path / "k400", put)
    check_trains_and_measures(quick, "k400", tmp_path)
