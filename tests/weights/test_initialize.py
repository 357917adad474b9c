"""Initial weights of a model from another one."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import vidattn
from vidattn import weights
from vidattn.config import ClipConfig, Recipe, TimeSformerConfig
from vidattn.config.recipes import find_recipe
from vidattn.errors import WeightsError
from vidattn.models.classifier import Classifier
from vidattn.models.init_scratch import init_from_scratch
from vidattn.models.timesformer import SCHEMES, TimeSformer
from vidattn.weights import convert
from vidattn.weights.initialize import fit_shape, initialize

LABELS = ("a", "b", "c")
CONFIG = TimeSformerConfig(classes=3, frames=4, size=64, width=64, depth=2, heads=1, drop_path=0)


def model(**changes: Any) -> TimeSformer:
    torch.manual_seed(1)
    return TimeSformer(replace(CONFIG, **changes)).eval()


def image_file(path: Path) -> tuple[Path, TimeSformer]:
    """A ViT as timm stores it: the official names, without time."""
    torch.manual_seed(0)
    image = TimeSformer(replace(CONFIG, attention="space", classes=7)).eval()
    state = {k: v.contiguous() for k, v in convert.export_official(image).items()}
    if path.suffix == ".safetensors":
        path.write_bytes(safetensors.torch.save(state, {"format": "pt"}))
    else:
        torch.save(state, path)
    return path, image


def with_head_of(image: TimeSformer, other: TimeSformer) -> TimeSformer:
    image.head = other.head
    return image


@pytest.mark.parametrize("name", ["vit.pth", "vit.safetensors", "model.safetensors"])
@torch.no_grad()
def test_a_model_from_an_image_model_agrees_on_still_videos(name: str, tmp_path: Path) -> None:
    path, image = image_file(tmp_path / name)
    started = model()
    where = path.parent if name == "model.safetensors" else path
    notes = weights.start_from(started, where, LABELS)
    still = torch.randn(2, 3, 1, 64, 64)
    expected = with_head_of(image, started)(still)
    torch.testing.assert_close(started(still.expand(-1, -1, 4, -1, -1)), expected)
    assert notes == ("the head starts from random values: the classes differ",)


@pytest.mark.parametrize("attention", SCHEMES)
def test_every_scheme_can_start_from_an_image_model(attention: str, tmp_path: Path) -> None:
    path, image = image_file(tmp_path / "vit.pth")
    started = model(attention=attention)
    weights.start_from(started, path, LABELS)
    expected = image.blocks[1].steps["space"].attn.qkv.weight
    for step in started.blocks[1].steps.values():
        assert torch.equal(step.attn.qkv.weight, expected)
        assert step is list(started.blocks[1].steps.values())[-1] or not step.out.weight.any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrap", [None, "model", "state_dict"])
@torch.no_grad()
def test_a_still_video_has_the_embedding_of_its_image(wrap: str | None, tmp_path: Path) -> None:
    timm = importlib.import_module("timm")
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64, num_classes=5).eval()
    state = vit.state_dict()
    torch.save({wrap: state} if wrap else state, tmp_path / "vit.pth")
    started = model(width=192, heads=3, classes=5, frames=6)
    init_from_scratch(started, torch.Generator().manual_seed(0))  # time would say something
    notes = weights.start_from(started, tmp_path / "vit.pth", ("a", "b", "c", "d", "e"))
    assert notes == ("the head starts from random values: the classes differ",)
    picture = torch.randn(2, 3, 64, 64)
    cls, _ = started.features(picture[:, :, None].expand(-1, -1, 6, -1, -1))
    torch.testing.assert_close(started.norm(cls), vit.forward_features(picture)[:, 0])


def test_names_runs_and_official_files_are_sources(tmp_path: Path) -> None:
    tiny = vidattn.load("motion-tiny")
    for where in ("motion-tiny", weights.save(tiny, tmp_path / "run" / "model.safetensors").parent):
        started = TimeSformer(replace(tiny.model.config, classes=2))
        weights.start_from(started, where, ("x", "y"))
        assert same(started, tiny.model, "blocks.3.steps.time.out.weight")
    video, started = model(), model()
    video.time.data += 1
    state = {"model." + k: v for k, v in convert.export_official(video).items()}
    torch.save({"model_state": state, "epoch": 14}, tmp_path / "checkpoint.pyth")
    weights.start_from(started, tmp_path / "checkpoint.pyth", LABELS)
    assert same(started, video, "time")


def test_the_source_in_a_recipe_is_used_or_reported_missing(tmp_path: Path) -> None:
    path, image = image_file(tmp_path / "vit.pth")
    recipe, started = Recipe("mine", model=CONFIG, init=str(path)), model()
    assert initialize(started, recipe, None, LABELS)[0] == f"starts from {path}"
    assert same(started, image, "patch.weight")

    path.unlink()
    (note,) = initialize(started, recipe, None, LABELS)
    assert note.startswith(f"starts from random values, not from {path} as in the recipe: ")
    (note,) = initialize(started, replace(recipe, init="vit-b16-in21k"), None, LABELS)
    assert note.endswith("model.width differs")
    assert initialize(started, recipe, "none", LABELS) == ()
    with pytest.raises(WeightsError, match=r"gone\.pth: no such file"):
        initialize(started, recipe, "gone.pth", LABELS)


def test_a_recipe_adopts_image_model_shape_and_video_model_clips(tmp_path: Path) -> None:
    path, _ = image_file(tmp_path / "vit.pth")
    recipe = fit_shape(find_recipe("small"), path)
    assert (recipe.model.width, recipe.model.depth, recipe.model.patch) == (64, 2, 16)
    assert (recipe.model.size, recipe.clip.crop, recipe.clip.short_side) == (64, 64, 64)
    assert recipe.data.short_side_range == (64, 69)  # 48 to 52 pixels for a crop of 48
    assert recipe.clip.frames == recipe.model.frames == 8
    weights.start_from(TimeSformer(recipe.model), path, LABELS)

    alike = replace(find_recipe("small"), model=replace(CONFIG, size=128))
    assert fit_shape(alike, path) is alike
    video = fit_shape(find_recipe("timesformer-k400"), "motion-tiny")
    assert (video.clip.step_seconds, video.clip.train_sampling, video.model.width) == (
        0.125,
        "dense",
        64,
    )


def test_an_unknown_name_lists_the_image_models(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.start_from(model(), "vit-b16-in22k", LABELS)
    assert "did you mean vit-b16-in21k? image models: vit-b16-in21k, deit" in str(caught.value.hint)


def save_as(path: Path, source: TimeSformer, labels: tuple[str, ...] = LABELS) -> Path:
    return weights.save(Classifier(source, ClipConfig(), labels), path)


def same(one: TimeSformer, two: TimeSformer, key: str) -> bool:
    return torch.equal(one.state_dict()[key], two.state_dict()[key])


def test_the_head_is_copied_only_for_the_same_classes(tmp_path: Path) -> None:
    source, started = model(), model()
    for value in source.parameters():
        value.data += 1
    path = save_as(tmp_path / "w.safetensors", source)
    assert len(weights.start_from(started, path, ("c", "b", "a"))) == 1
    assert not same(started, source, "head.weight")
    assert weights.start_from(started, path, LABELS) == ()
    assert all(same(started, source, key) for key in source.state_dict())


def test_another_length_and_size_are_resized_with_a_note(tmp_path: Path) -> None:
    source, started = model(), model(frames=6, size=128)
    source.time.data = torch.arange(4.0)[:, None].expand(4, 64).clone()
    rows: Tensor = torch.arange(4.0)[:, None, None].expand(4, 4, 64)
    source.pos.data = rows.clone()
    notes = weights.start_from(started, save_as(tmp_path / "w.safetensors", source), LABELS)
    assert notes == (
        "positions are resized from 64 to 128 pixels, bicubic",
        "times are resized from 4 to 6 frames",
    )
    assert started.time[:, 0].tolist() == [0, 0, 1, 2, 2, 3]
    assert (started.pos.diff(dim=0) > 0).all()  # rows stay rows
    assert started.pos.diff(dim=1).abs().max() < 1e-6


@pytest.mark.parametrize("change", [{"width": 128}, {"depth": 3}, {"patch": 8}, {"heads": 2}])
def test_another_shape_is_refused_by_name(change: dict[str, int], tmp_path: Path) -> None:
    path, _ = image_file(tmp_path / "vit.pth")
    with pytest.raises(
        WeightsError, match=f"of {next(iter(change))} {next(iter(change.values()))}"
    ):
        weights.start_from(model(**change), path, LABELS)


def test_an_image_model_that_is_not_here_is_named() -> None:
    with pytest.raises(WeightsError, match="not downloaded yet, and offline"):
        weights.start_from(model(), "vit-b16-in21k", LABELS)


@pytest.mark.parametrize("family", ["official", "hf"])
@pytest.mark.parametrize("attention", ["divided", "space"])
def test_a_backbone_without_a_head_is_a_source(family: str, attention: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = TimeSformer(replace(CONFIG, attention=attention, classes=7))
    export = convert.export_official if family == "official" else convert.export_hf
    state = {
        k.removeprefix("timesformer."): v.contiguous()
        for k, v in export(source).items()
        if not k.startswith(("head", "classifier"))
    }
    path = tmp_path / "backbone.safetensors"
    path.write_bytes(safetensors.torch.save(state))
    started = model(attention=attention)
    notes = weights.start_from(started, path, LABELS)
    assert notes == ("the head starts from random values: the classes differ",)
    assert torch.equal(started.patch.weight, source.patch.weight)
    theirs = source.blocks[1].state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in started.blocks[1].state_dict().items())
