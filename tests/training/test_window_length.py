"""A model of one's own learns windows as long as its clips allow."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.conftest import write_classes
from vidattn.config import ViewConfig
from vidattn.config.recipes import RECIPES, fit_to_dataset
from vidattn.config.recipes.small import SMALL
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.sets import open_dataset
from vidattn.training.data import fit_window
from vidattn.types import Item, Window


def spans(*seconds: float) -> LabeledDataset:
    items = tuple(Item("a.mp4", 0, Window(10, 10 + length)) for length in seconds)
    return LabeledDataset("mine", Path(), "train", ("a",), items)


@pytest.mark.parametrize(
    ("seconds", "span"), [((2.47, 2.47, 2.47), 2.4), ((1, 3, 4, 5, 57), 3), ((90, 60), 8.5)]
)
def test_a_window_fits_into_most_clips(seconds: tuple[float, ...], span: float) -> None:
    recipe, (note,) = fit_window(SMALL, spans(*seconds))
    assert recipe.clip.span_seconds == pytest.approx(span)
    assert f"windows of {span:g} s" in note
    assert recipe.views == ViewConfig(1, 12)


def test_frames_of_whole_clips_learn_the_median_span() -> None:
    whole = replace(SMALL, clip=replace(SMALL.clip, train_sampling="bins"))
    recipe, (note,) = fit_window(whole, spans(2, 4, 20))
    assert (recipe.clip.span_seconds, recipe.clip.sampling) == (4, "uniform")
    assert recipe.views == ViewConfig(1, 1)
    assert "each whole clip" in note


def test_a_stated_step_stays() -> None:
    for stated in (RECIPES["motion-tiny"], RECIPES["timesformer-ssv2"]):
        assert fit_window(stated, spans(3)) == (stated, ())


def test_the_durations_of_whole_files_are_read(tmp_path: Path) -> None:
    clips = write_classes(tmp_path / "clips", videos=1)
    recipe, _ = fit_window(SMALL, open_dataset(str(clips)))
    assert recipe.clip.span_seconds == 2
    (tmp_path / "a.mp4").write_bytes(b"broken")
    broken = LabeledDataset("x", tmp_path, "train", ("a",), (Item(str(tmp_path / "a.mp4"), 0),))
    assert fit_window(SMALL, broken)[1] == ()


def test_a_published_recipe_learns_windows_of_datasets_of_others_alone() -> None:
    published = RECIPES["timesformer-k400"]
    mine, known = (fit_to_dataset(published, name) for name in ("./mine", "k600"))
    assert (mine.clip.step_seconds, mine.clip.sampling) == (0, "dense")
    assert known.clip == published.clip
