import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import vidattn
from tests.helpers import write_video
from tests.models.builders import noise
from vidattn import weights
from vidattn.config import BackboneStamConfig, ClipConfig, OptimConfig, Recipe, StamConfig
from vidattn.config.recipes import find_recipe
from vidattn.errors import RecipeError, UsageError, WeightsError
from vidattn.models.classifier import Classifier
from vidattn.models.flops import count_frame_macs, count_macs
from vidattn.models.layers import ClipModel
from vidattn.models.stam import BackboneStam, Stam
from vidattn.training.optim import freeze_except, layer_depths, training_mode
from vidattn.training.trainer import new_state
from vidattn.weights import key_maps, start_from

GOLDEN = json.loads((Path(__file__).parent / "golden" / "stam.json").read_text())
TINY = StamConfig(classes=10, frames=4, size=64, width=96, depth=3, heads=4, time_depth=2)
Fill = Callable[..., dict[str, np.ndarray]]


def from_official(config: StamConfig, fill: Fill) -> Stam:
    with torch.device("meta"):
        empty = key_maps.STAM.from_ours(Stam(config).state_dict())
    values = fill({name: tuple(value.shape) for name, value in empty.items()})
    state = {name: torch.from_numpy(value) for name, value in values.items()}
    return key_maps.build_stam(state, Path("known values"), config)


def known_clip(batch: int, frames: int, size: int) -> Tensor:
    """The official input is [B * T, 3, H, W]."""
    noise = np.random.RandomState(0).standard_normal((batch, frames, 3, size, size))
    return torch.from_numpy(noise.astype(np.float32)).transpose(1, 2)


@torch.no_grad()
def test_logits_match_the_official_code(known_values: Fill) -> None:
    logits = from_official(TINY, known_values)(known_clip(2, 4, 64))
    torch.testing.assert_close(logits, torch.tensor(GOLDEN["tiny"]), rtol=0, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_the_paper_model_has_the_logits_of_the_official_code(known_values: Fill) -> None:
    golden = GOLDEN["full"]
    logits = from_official(StamConfig(), known_values)(known_clip(1, 16, 224))[0]
    torch.testing.assert_close(logits[:8], torch.tensor(golden["first8"]), rtol=0, atol=1e-4)
    assert logits.argmax() == golden["argmax"]
    assert logits.sum().item() == pytest.approx(golden["sum"], abs=1e-2)


@pytest.mark.parametrize(
    "frames, count", [(8, 119_199_376), (16, 119_205_520), (32, 119_217_808), (64, 119_242_384)]
)
def test_parameter_counts_are_those_of_the_released_models(frames: int, count: int) -> None:
    with torch.device("meta"):
        model = Stam(StamConfig(frames=frames))
    assert sum(p.numel() for p in model.parameters()) == count


@torch.no_grad()
def test_other_lengths_and_sizes_are_resized(known_values: Fill) -> None:
    model = from_official(TINY, known_values)
    assert model(known_clip(1, 6, 96)).shape == (1, 10)
    with pytest.raises(UsageError, match="do not divide"):
        model(known_clip(1, 4, 70))


@pytest.mark.parametrize("change", [{"size": 65}, {"heads": 5}, {"time_depth": 0}])
def test_an_impossible_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        StamConfig(**change)


NETS = ("test_resnet", "test_vit", "test_vit_relpos")
"""A network of convolutions, a transformer of one size, and one with tables that no file holds."""


def shape(backbone: str, **changes: object) -> BackboneStamConfig:
    given = {"classes": 3, "frames": 4, "size": 64, "time_depth": 1, "time_heads": 4}
    return BackboneStamConfig(backbone, **{**given, "time_hidden": 48, **changes})  # type: ignore[arg-type]


def build(backbone: str) -> BackboneStam:
    """A seeded model without zeros, in eval mode."""
    torch.manual_seed(0)
    model = BackboneStam(shape(backbone)).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return model


@pytest.fixture(params=NETS)
def model(request: pytest.FixtureRequest) -> BackboneStam:
    return build(str(request.param))


@pytest.fixture
def clips() -> Tensor:
    return noise(2, 3, 4, 64, 64)


@torch.no_grad()
def test_it_keeps_the_promises_of_every_model(
    model: BackboneStam, clips: Tensor, tmp_path: Path
) -> None:
    logits = model(clips)
    assert logits.shape == (2, 3)
    assert torch.equal(model(clips.clone()), logits)
    alone = torch.cat([model(clip[None]) for clip in clips])
    torch.testing.assert_close(alone, logits, rtol=0, atol=1e-5)
    assert (model(clips[:, :, [2, 0, 3, 1]]) - logits).abs().max() > 1e-5, "order matters"
    assert model(clips[:, :, :3]).shape == (2, 3)
    classifier = Classifier(model, ClipConfig(frames=4, short_side=64, crop=64), ("a", "b", "c"))
    again = weights.load(weights.save(classifier, tmp_path / "model.safetensors")).model
    assert again.config == model.config
    assert torch.equal(again(clips), logits)


@torch.no_grad()
def test_frames_are_encoded_one_by_one(model: BackboneStam, clips: Tensor) -> None:
    assert isinstance(model, ClipModel)
    tokens = model.encode_frames(clips.transpose(1, 2).flatten(0, 1))
    vectors = model.embeddings(tokens.unflatten(0, (2, 4)))
    torch.testing.assert_close(model.head(vectors), model(clips), rtol=0, atol=1e-5)
    import timm

    plain = timm.create_model(model.config.backbone, num_classes=0).eval()
    assert tokens.shape == (8, plain.num_features)


def test_every_parameter_learns(model: BackboneStam, clips: Tensor) -> None:
    model.train()
    nn.functional.cross_entropy(model(clips), torch.tensor([0, 1])).backward()
    without = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [k for k in without if not k.startswith("backbone.")] == []


def test_a_frozen_backbone_stays_as_it_is(clips: Tensor) -> None:
    model = build("test_resnet")
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    freeze_except(model, "temporal")
    training_mode(model)
    model(clips).sum().backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert {k.partition(".")[0] for k, p in model.named_parameters() if p.requires_grad} == {
        *("time_cls", "time_cls_pos", "time", "over_time", "head")
    }
    assert all(torch.equal(before[k], v) for k, v in model.backbone.state_dict().items())
    depths = layer_depths(model)
    assert depths["head.weight"] == 0
    assert depths["backbone.conv1.0.weight"] == max(depths.values())


@pytest.mark.parametrize("name", NETS[:2])
def test_it_starts_from_a_file_of_timm(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    import timm

    options = {"img_size": 64} if name == "test_vit" else {}
    image = timm.create_model(name, num_classes=7, **options).eval()
    safetensors.torch.save_file(image.state_dict(), tmp_path / "image.safetensors")
    model = build(name)
    notes = start_from(model, tmp_path / "image.safetensors", ("a", "b", "c"))
    assert notes == ("the transformer over time and the head start from random values",)
    frames = noise(2, 3, 64, 64)
    with torch.no_grad():
        expected = image.forward_head(image.forward_features(frames), pre_logits=True)
        torch.testing.assert_close(model.encode_frames(frames), expected)
    other = build("test_vit_relpos")
    with pytest.raises(WeightsError, match="differences to the model"):
        start_from(other, tmp_path / "image.safetensors", ())


def test_a_frozen_backbone_without_its_weights_is_no_start(tmp_path: Path) -> None:
    recipe = Recipe("a", shape("test_resnet"), init=str(tmp_path / "missing.safetensors"))
    frozen = Recipe("a", recipe.model, optim=OptimConfig(trainable="temporal"), init=recipe.init)
    with pytest.raises(WeightsError, match="no such file"):
        new_state(frozen, None, labels=("a", "b", "c"))
    (note,) = new_state(recipe, None, labels=("a", "b", "c")).notes
    assert note.startswith("starts from random values, not from")
    assert find_recipe("small-backbone").optim.trainable == "temporal"


def test_overlapping_windows_share_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("test_resnet")
    clip = ClipConfig(frames=4, step_seconds=0.1, short_side=64, crop=64)
    video, encoded = write_video(tmp_path / "a.mp4", seconds=1.0), []
    encode = model.encode_frames
    monkeypatch.setattr(model, "encode_frames", lambda x: encoded.append(len(x)) or encode(x))
    network = Classifier(model, clip, ("a", "b", "c"))
    assert len(vidattn.segment(video, network, stride=0.1).windows) == 7
    assert sum(encoded) == 10, "each frame once, not four times"
    with pytest.raises(UsageError, match="BackboneStam cannot be explained by relevance"):
        vidattn.explain(video, network, at=0.5)
    assert vidattn.explain(video, network, at=0.5, method="occlusion").patches.shape == (4, 2, 2)


def test_multiply_adds_are_those_of_the_same_transformer_of_ours() -> None:
    ours = StamConfig(time_depth=2, time_hidden=1024)
    theirs = BackboneStamConfig("vit_base_patch16_224", frames=16)
    assert count_frame_macs(theirs) == count_frame_macs(ours)
    assert count_macs(theirs) == count_macs(ours)


@pytest.mark.parametrize("name", ["nosuch", "hf-hub:timm/resnet18.a1_in1k", "local-dir:/tmp"])
def test_names_of_places_are_no_architectures(name: str) -> None:
    with pytest.raises(RecipeError, match="timm has no architecture of that name"):
        BackboneStam(BackboneStamConfig(name))
    with pytest.raises(RecipeError, match="time_heads 5 does not divide the 96 features"):
        BackboneStam(shape("test_resnet", time_heads=5))
