"""Models written for other programs and loaded again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidattn import weights
from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig
from vidattn.errors import OutputError, WeightsError
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer

CARD = ModelCard("mine", "Apache-2.0", "a test", "nothing", "top-1 33.3", ("a note",))


def classifier(attention: str = "divided") -> Classifier:
    """A classifier with settings that no foreign format stores."""
    torch.manual_seed(0)
    shape = {"classes": 3, "frames": 4, "size": 32, "width": 64, "depth": 2, "heads": 4}
    stam = StamConfig(**shape, time_depth=1, time_heads=2, time_hidden=48)
    config = TimeSformerConfig(attention, **shape, drop_path=0.3) if attention != "stam" else stam
    model = Stam(config) if isinstance(config, StamConfig) else TimeSformer(config)
    clip = ClipConfig(4, 0.7, 40, 32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bgr", "dense", "bins")
    labels = ("dive", "плавать", "LABEL_2")
    return Classifier(model.eval(), clip, labels, "probability", CARD, temperature=1.7)


def equal(one: Classifier, other: Classifier) -> bool:
    tensors, others = one.model.state_dict(), other.model.state_dict()
    return (
        tensors.keys() == others.keys()
        and all(torch.equal(tensors[key], others[key]) for key in tensors)
        and one.model.config == other.model.config
        and (one.clip, one.labels, one.averaging) == (other.clip, other.labels, other.averaging)
        and one.temperature == other.temperature
        and replace(one.card, sha256="") == replace(other.card, sha256="")
    )


@pytest.mark.parametrize("attention", ["divided", "joint", "space", "stam"])
def test_the_official_layout_round_trips(attention: str, tmp_path: Path) -> None:
    subject = classifier(attention)
    loaded = weights.load(weights.save_official(subject, tmp_path / "a.pyth"))
    assert equal(loaded, subject)
    assert equal(weights.load(weights.save_official(loaded, tmp_path / "b.pyth")), subject)


@pytest.mark.parametrize("attention", ["divided", "joint"])
def test_the_hugging_face_layout_round_trips(attention: str, tmp_path: Path) -> None:
    subject = classifier(attention)
    assert equal(weights.load(weights.save_hf(subject, tmp_path / "hf")), subject)
    assert (tmp_path / "hf" / "README.md").read_text().startswith("---\nlicense: apache-2.0\n")


@pytest.mark.parametrize("attention", ["divided", "joint"])
@torch.no_grad()
def test_transformers_loads_an_export(attention: str, clip: Tensor, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    subject = classifier(attention)
    folder = weights.save_hf(subject, tmp_path / "hf")
    theirs, loading_info = transformers.TimesformerForVideoClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(
        loading_info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
    )
    logits = theirs.eval()(clip.transpose(1, 2)).logits
    torch.testing.assert_close(logits, subject.model(clip), rtol=0, atol=1e-5)
    assert tuple(theirs.config.id2label.values()) == subject.labels
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    assert (tuple(processor.image_mean), tuple(processor.image_std)) == (
        subject.clip.mean,
        subject.clip.std,
    )
    theirs.save_pretrained(tmp_path / "saved again")
    processor.save_pretrained(tmp_path / "saved again")
    assert equal(weights.load(tmp_path / "saved again"), subject)


def test_official_files_have_the_keys_of_the_official_code(tmp_path: Path) -> None:
    stored = torch.load(weights.save_official(classifier(), tmp_path / "a.pyth"), weights_only=True)
    assert stored["epoch"] == 0
    assert "model.blocks.1.temporal_attn.qkv.bias" in stored["model_state"]
    assert len(stored["model_state"]) == 3 + 2 + 20 * 2 + 2 + 2
    assert "ATTENTION_TYPE: divided_space_time" in stored["cfg"]
    stam = torch.load(weights.save_official(classifier("stam"), tmp_path / "s"), weights_only=True)
    assert "aggregate.transformer_enc.layers.0.linear1.weight" in stam["model"]


def test_classes_changed_elsewhere_override_our_manifest(tmp_path: Path) -> None:
    folder = weights.save_hf(classifier(), tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "a", "1": "b", "2": "c"}
    (folder / "config.json").write_text(json.dumps(config))
    assert weights.load(folder).labels == ("a", "b", "c")

    path = weights.save_official(classifier(), tmp_path / "a.pyth")
    stored = torch.load(path, weights_only=True)
    for name in ("weight", "bias"):
        old = stored["model_state"][f"model.head.{name}"]
        stored["model_state"][f"model.head.{name}"] = old.repeat_interleave(2, 0)
    torch.save(stored, path)
    loaded = weights.load(path)
    assert (len(loaded.labels), loaded.clip.mean) == (6, (0.45,) * 3)


def test_a_broken_manifest_is_refused(tmp_path: Path) -> None:
    path = weights.save_official(classifier(), tmp_path / "a.pyth")
    torch.save({**torch.load(path, weights_only=True), "vidattn": "{}"}, path)
    with pytest.raises(WeightsError, match="not in the format vidattn/weights/1"):
        weights.load(path)


def test_models_without_a_foreign_layout_are_not_written(tmp_path: Path) -> None:
    for save in (weights.save_official, weights.save_hf):
        with pytest.raises(WeightsError, match="no names for axial attention"):
            save(classifier("axial"), tmp_path / "a")
    with pytest.raises(WeightsError, match="logits for every frame"):
        weights.save_hf(classifier("space"), tmp_path / "a")
    with pytest.raises(
        WeightsError, match="layout hf is for models of TimeSformer, not for a Stam"
    ):
        weights.save_hf(classifier("stam"), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_complete_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "theirs.txt").write_text("keep me")
    with pytest.raises(OutputError, match="exists and is not empty"):
        weights.save_hf(classifier(), tmp_path / "full")
    monkeypatch.setattr(Path, "replace", _refused)
    with pytest.raises(OutputError, match="cannot be written"):
        weights.save_hf(classifier(), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def _refused(*_: object) -> None:
    raise PermissionError(13, "Permission denied")
