"""Checkpoints of other families, written here like those families write them."""

import io
import json
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from vidattn import weights
from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.errors import WeightsError
from vidattn.models.classifier import Classifier
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import convert, key_maps, torch_checkpoint
from vidattn.weights.snapshot import snapshot_file

CONFIG = TimeSformerConfig(classes=400, frames=4, size=32, width=64, depth=2, heads=1)
PROCESSOR = {
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.45, 0.4, 0.5],
    "image_std": [0.225, 0.2, 0.25],
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 36},
}


def model(**changes: Any) -> TimeSformer:
    torch.manual_seed(0)
    return TimeSformer(replace(CONFIG, **changes)).eval()


def official(path: Path, source: TimeSformer, **beside: Any) -> Path:
    state = OrderedDict((f"model.{k}", v) for k, v in convert.export_official(source).items())
    torch.save({"epoch": 14, "model_state": state, **beside}, path)
    return path


def mmaction2(path: Path, source: TimeSformer, **beside: Any) -> Path:
    state = key_maps.from_ours(source.state_dict(), "mmaction2", source.config)
    torch.save({"state_dict": OrderedDict(state), "meta": {"epoch": 15}, **beside}, path)
    return path


def folder(path: Path, source: TimeSformer, *, pickled: bool = False, **changes: Any) -> Path:
    c = source.config
    path.mkdir()
    config = {
        "model_type": "timesformer",
        "attention_type": {"divided": "divided_space_time", "joint": "joint_space_time"}[
            c.attention
        ],
        "num_frames": c.frames,
        "image_size": c.size,
        "patch_size": c.patch,
        "num_attention_heads": c.heads,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "id2label": {str(i): f"name {i}" for i in range(c.classes)},
        **changes,
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    state = convert.export_hf(source)
    if pickled:
        torch.save(state, path / "pytorch_model.bin")
    else:
        state = {k: v.contiguous() for k, v in state.items()}
        (path / "model.safetensors").write_bytes(safetensors.torch.save(state, {"format": "pt"}))
    return path


def edit(path: Path, **changes: Any) -> None:
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (plain | changes).items() if v is not None}))


@pytest.mark.parametrize("attention", ["divided", "joint", "space"])
@torch.no_grad()
def test_official_files_set_averaging(attention: str, clip: Tensor, tmp_path: Path) -> None:
    source = model(attention=attention)
    loaded = weights.load(official(tmp_path / "a.pyth", source, cfg="DATA:\n  SAMPLING_RATE: 16\n"))
    assert torch.equal(loaded.model(clip), source(clip))
    assert (loaded.model.config.attention, loaded.clip.mean) == (attention, (0.45,) * 3)
    assert loaded.clip.std == (0.225,) * 3
    assert (loaded.clip.short_side, loaded.clip.crop, loaded.clip.channels) == (32, 32, "rgb")
    assert (loaded.clip.step_seconds, loaded.averaging) == (16 / 30, "logit")
    assert (loaded.labels, loaded.card.license) == (weights.load_labels("k400"), "")
    assert "published weights of this family are CC-BY-NC-4.0" in loaded.card.notes
    assert any("class names are those of k400" in note for note in loaded.card.notes)


def test_official_something_something_models_get_bgr(tmp_path: Path) -> None:
    loaded = weights.load(official(tmp_path / "a.pyth", model(classes=174)))
    assert (loaded.clip.channels, loaded.clip.train_sampling) == ("bgr", "bins")
    assert loaded.clip.span_seconds == pytest.approx(4)
    assert any("BGR" in note for note in loaded.card.notes)


@pytest.mark.parametrize("attention", ["divided", "joint", "space"])
@torch.no_grad()
def test_mmaction2_files_set_averaging(attention: str, clip: Tensor, tmp_path: Path) -> None:
    source = model(attention=attention)
    loaded = weights.load(mmaction2(tmp_path / "a.pth", source))
    assert torch.equal(loaded.model(clip), source(clip))
    assert loaded.clip.mean == loaded.clip.std == (0.5,) * 3
    assert (loaded.averaging, loaded.card.license) == ("probability", "")


def test_class_names_beside_the_weights_win(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(400)]
    loaded = weights.load(
        mmaction2(tmp_path / "a.pth", model(), meta={"dataset_meta": {"classes": names}})
    )
    assert loaded.labels == tuple(names)


def test_a_class_count_of_no_known_set_gives_numbers(tmp_path: Path) -> None:
    loaded = weights.load(official(tmp_path / "a.pyth", model(classes=7)))
    assert loaded.labels == tuple(f"class {i}" for i in range(7))
    assert any("numbers for names" in note for note in loaded.card.notes)


@pytest.mark.parametrize("pickled", [False, True])
@torch.no_grad()
def test_a_hugging_face_folder_is_complete(pickled: bool, clip: Tensor, tmp_path: Path) -> None:
    source = model(heads=2)
    path = folder(tmp_path / "hf", source, pickled=pickled)
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    loaded = weights.load(path)
    assert torch.equal(loaded.model(clip), source(clip))
    assert loaded.clip.mean == (0.45, 0.4, 0.5)
    assert loaded.clip.std == (0.225, 0.2, 0.25)
    assert (loaded.clip.short_side, loaded.clip.crop) == (36, 32)
    assert loaded.labels[:2] == ("name 0", "name 1")
    assert (loaded.card.name, loaded.card.license) == ("hf", "Apache-2.0")
    inner = path / ("pytorch_model.bin" if pickled else "model.safetensors")
    assert weights.load(inner).labels == loaded.labels


@torch.no_grad()
def test_a_transformers_folder_loads_with_the_same_logits(clip: Tensor, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    theirs = transformers.TimesformerForVideoClassification(
        transformers.TimesformerConfig(
            image_size=32,
            num_frames=4,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=96,
            num_labels=5,
        )
    ).eval()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    loaded = weights.load(tmp_path)
    expected = theirs(clip.transpose(1, 2)).logits
    torch.testing.assert_close(loaded.model(clip), expected, rtol=0, atol=1e-5)
    assert loaded.labels == tuple(f"class {i}" for i in range(5))


def in_hub_cache(hub_id: str, source: TimeSformer, cache: Path) -> None:
    """Store a model like the client of the hub."""
    place = cache / f"models--{hub_id.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    (place / "snapshots").mkdir()
    folder(place / "snapshots" / ("0" * 40), source)


@torch.no_grad()
def test_a_model_in_the_hub_cache_needs_no_network(clip: Tensor, tmp_path: Path) -> None:
    source = model(classes=174)
    hub_id = "facebook/timesformer-base-finetuned-ssv2"
    in_hub_cache(hub_id, source, tmp_path / "hub")
    announced: list[Any] = []
    for name in (hub_id, "timesformer-ssv2"):
        loaded = weights.load(name, announce=announced.append)
        assert torch.equal(loaded.model(clip), source(clip))
        assert (loaded.card.name, loaded.card.license) == ("timesformer-ssv2", "CC-BY-NC-4.0")
        assert (loaded.clip.channels, loaded.labels[0]) == ("bgr", "name 0")
    in_hub_cache("someone/theirs", source, tmp_path / "hub")
    loaded = weights.load("someone/theirs", announce=announced.append)
    assert (loaded.card.name, loaded.clip.channels) == ("someone/theirs", "rgb")
    assert announced == []


@pytest.mark.parametrize(
    "file, changes, reason",
    [
        ("config.json", {"model_type": "vivit"}, "a model of type 'vivit'"),
        ("config.json", {"attention_type": "joint_space_time"}, "attention_type is"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act is 'relu', not 'gelu'"),
        ("config.json", {"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
        ("config.json", {"num_attention_heads": None}, "num_attention_heads should be"),
        ("config.json", {"num_attention_heads": 7}, "not a multiple of model.heads 7"),
        ("config.json", {"id2label": {"0": "a"}}, "id2label does not name 400 classes"),
        ("preprocessor_config.json", {"image_mean": None}, "image_mean should be three"),
        ("preprocessor_config.json", {"image_std": [0, 0, 0]}, "clip.std must be > 0"),
        ("preprocessor_config.json", {"do_resize": False}, "do_resize is false"),
        ("preprocessor_config.json", {"rescale_factor": 1}, "rescale_factor is 1, not 1/255"),
        ("preprocessor_config.json", {"crop_size": "big"}, "crop_size should be a whole"),
    ],
)
def test_a_folder_of_another_computation_is_refused(
    file: str, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = folder(tmp_path / "hf", model())
    edit(path / file, **changes)
    with pytest.raises(WeightsError) as caught:
        weights.load(path)
    assert reason in caught.value.message
    assert str(path) in caught.value.message


def test_an_incomplete_folder_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "hf", model())
    (path / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=str(path)):
        weights.load(path)


def test_the_tensors_determine_the_number_of_frames(tmp_path: Path) -> None:
    loaded = weights.load(folder(tmp_path / "hf", model(), num_frames=96))
    assert loaded.clip.frames == loaded.model.config.frames == 4
    assert "config.json says 96 frames, the weights have 4, which are used" in loaded.card.notes


def test_differences_are_listed_under_the_names_in_the_file(tmp_path: Path) -> None:
    state = {f"model.{k}": v for k, v in convert.export_official(model()).items()}
    for i in range(2):
        del state[f"model.blocks.{i}.temporal_norm1.weight"]
        state[f"model.blocks.{i}.temporal_temporal_attn.qkv.weight"] = torch.zeros(1)
    torch.save({"model_state": state}, tmp_path / "a.pyth")
    with pytest.raises(WeightsError) as caught:
        weights.load(tmp_path / "a.pyth")
    assert caught.value.message == (
        f"{tmp_path}/a.pyth: 4 differences to the model: missing blocks.0.temporal_norm1.weight; "
        "missing blocks.1.temporal_norm1.weight; "
        "unexpected blocks.0.temporal_temporal_attn.qkv.weight; "
        "unexpected blocks.1.temporal_temporal_attn.qkv.weight"
    )


class HistoryBuffer:
    """Like that of mmengine: an object with numpy arrays and methods."""

    def __init__(self) -> None:
        self.log = np.arange(3.0)
        self.last = np.float64(2)
        self.minimum = HistoryBuffer.least

    def least(self) -> float:
        return 0.0


HistoryBuffer.__module__ = HistoryBuffer.least.__module__ = "mmengine.logging.history_buffer"


def test_a_log_beside_weights_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = type(sys)("mmengine.logging.history_buffer")
    fake.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for name in ("mmengine", "mmengine.logging"):
            patch.setitem(sys.modules, name, type(sys)(name))
        patch.setitem(sys.modules, fake.__name__, fake)
        path = mmaction2(tmp_path / "a.pth", model(), message_hub={"loss": HistoryBuffer()})
    assert weights.load(path).clip.mean == (0.5,) * 3


class Exploit:
    """Creates a file when it is unpickled without care."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.canary), "w")


def test_ignored_names_of_a_log_cannot_become_calls(tmp_path: Path) -> None:
    class Getter:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
            return getattr, ("text", "upper")

    with snapshot_file(official(tmp_path / "a.pyth", model(), extra=Getter())) as file:
        state, beside = torch_checkpoint.read_checkpoint(file)
    assert type(beside["extra"]).__name__ == "InertObject"
    assert "cls_token" in state


def test_a_compressed_archive_is_refused_unread(tmp_path: Path) -> None:
    path = official(tmp_path / "a.pyth", model())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr("bomb", bytes(50_000_000))
    with pytest.raises(WeightsError, match="compressed archive"):
        weights.load(path)


def test_an_imported_model_can_be_stored_as_ours(tmp_path: Path) -> None:
    loaded: Classifier = weights.load(official(tmp_path / "a.pyth", model()))
    again = weights.load(weights.save(loaded, tmp_path / "b.safetensors"))
    assert (again.card.notes, again.clip) == (loaded.card.notes, loaded.clip)


STAM = StamConfig(frames=4, size=32, width=64, depth=2, heads=1, time_depth=1, time_hidden=32)


def stam_file(path: Path, **without: bool) -> tuple[Path, Stam]:
    torch.manual_seed(0)
    source = Stam(STAM).eval()
    state = key_maps.STAM.from_ours(source.state_dict())
    if without.get("qkv_bias"):
        state = {k: v for k, v in state.items() if not k.endswith("qkv.bias")}
    torch.save({"model": state}, path)
    return path, source


@pytest.mark.parametrize("qkv_bias", [True, False])
@torch.no_grad()
def test_stam_files_set_averaging_and_mean(qkv_bias: bool, clip: Tensor, tmp_path: Path) -> None:
    path, source = stam_file(tmp_path / "stam.pth", qkv_bias=qkv_bias)
    loaded = weights.load(path)
    torch.testing.assert_close(loaded.model(clip), source(clip))
    assert (loaded.clip.mean, loaded.clip.std) == ((0.0,) * 3, (1.0,) * 3)
    assert (loaded.clip.short_side, loaded.clip.crop) == (36, 32)
    assert (loaded.clip.span_seconds, loaded.card.license) == (pytest.approx(10), "")
    again = weights.load(weights.save(loaded, tmp_path / "ours.safetensors"))
    assert torch.equal(again.model(clip), loaded.model(clip))


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """An official file with other tensors."""
    state = dict(convert.export_official(model()))
    change(state)
    torch.save(state, path)


def without_a_layer(path: Path) -> None:
    state = torch.load(stam_file(path)[0], weights_only=True)["model"]
    del state["aggregate.transformer_enc.layers.0.norm2.weight"]
    torch.save({"model": state}, path)


def of_the_future(path: Path) -> None:
    data = bytearray(official(path, model()).read_bytes())
    data[data.rindex(b"PK\x01\x02") + 6] = 154  # "version needed" of its last member
    path.write_bytes(data)


def cut_off(path: Path, size: int) -> None:
    path.write_bytes(official(path, model()).read_bytes()[:size])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "other names": (
        lambda path: torch.save({"conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}, path),
        r"of an unknown model: conv1\.weight, fc\.bias",
    ),
    "not a number": (
        lambda path: changed(path, lambda state: state["cls_token"].view(-1)[3:4].fill_(torch.nan)),
        "NaN or infinite values in 1 tensors: cls",
    ),
    "not a square": (
        lambda path: changed(path, lambda state: state.update(pos_embed=torch.zeros(1, 6, 64))),
        "5 patches, not a square number",
    ),
    "too large a tensor": (
        lambda path: changed(
            path, lambda state: state.update({"head.weight": torch.zeros(1).expand(10**12, 64)})
        ),
        "claim more bytes than the file has",
    ),
    "a layer missing": (without_a_layer, r"1 difference to the model: missing aggregate\."),
    "of the future": (of_the_future, "cut off or broken: zip file version"),
    "a list": (lambda path: torch.save([1, 2], path), ""),
    "empty": (lambda path: torch.save({}, path), ""),
    "no tensors": (lambda path: torch.save({"state_dict": {"a": 1}}, path), ""),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), ""),
    **{f"cut off at {n}": (partial(cut_off, size=n), "") for n in (0, 1, 100, -1, -200)},
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_checkpoint_is_refused(fault: str, tmp_path: Path) -> None:
    write, message = BROKEN[fault]
    write(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=rf"a\.pth: .*{message}"):
        weights.load(tmp_path / "a.pth")


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", ["evil.pth", "garbage.pth", "cut.pth", "list.pth"])
def test_other_files_are_refused_in_one_line(name: str, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / name
    stored = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, stored)
    path.write_bytes(
        {
            "evil.pth": pickle.dumps({"state_dict": Exploit(tmp_path / "canary")}, protocol),
            "garbage.pth": b"\x80\x02garbage, not a pickle",
            "cut.pth": stored.getvalue()[:-100],
            "list.pth": pickle.dumps([1, 2], protocol),
        }[name]
    )
    with pytest.raises(WeightsError) as caught:
        weights.load(path)
    text = caught.value.message
    assert text.startswith(f"{path}: ")
    assert not any(word in text for word in ("torch.", "\n", "Unsupported", "documentation"))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.model."])
@torch.no_grad()
def test_compiled_and_wrapped_models_are_recognized(
    prefix: str, clip: Tensor, tmp_path: Path
) -> None:
    source = model()
    state = {prefix + k: v for k, v in convert.export_official(source).items()}
    torch.save({"model_state": state}, tmp_path / "a.pyth")
    assert torch.equal(weights.load(tmp_path / "a.pyth").model(clip), source(clip))


def test_the_processor_of_a_folder_is_found_or_that_of_published_models_named(
    tmp_path: Path,
) -> None:
    path = folder(tmp_path / "hf", model(heads=2))
    (path / "preprocessor_config.json").rename(path / "video_preprocessor_config.json")
    assert weights.load(path).clip.mean == (0.45, 0.4, 0.5)
    (path / "video_preprocessor_config.json").unlink()
    loaded = weights.load(path)
    assert (loaded.clip.mean, loaded.clip.short_side, loaded.clip.crop) == ((0.45,) * 3, 32, 32)
    assert any("as for published models of timesformer" in note for note in loaded.card.notes)
