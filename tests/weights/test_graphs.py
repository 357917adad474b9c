"""Models as graphs of other runtimes, and back in our engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vidattn
from tests.helpers import Run, mostly_slow
from vidattn import weights
from vidattn.config import (
    BigLittleConfig,
    ClipConfig,
    Conv2dConfig,
    FlowConfig,
    StamConfig,
    TaughtConfig,
    TemporalConfig,
    TimeSformerConfig,
)
from vidattn.errors import UsageError, WeightsError
from vidattn.models.classifier import (
    KINDS,
    VARIANTS,
    Classifier,
    ModelCard,
    build_taught,
    find_kind,
)
from vidattn.models.taught import TaughtModel
from vidattn.models.timesformer import SCHEMES
from vidattn.weights import graph_export, graph_files

onnx: Any = pytest.importorskip("onnx", reason="needs vidattn[onnx]")
runtime: Any = pytest.importorskip("onnxruntime", reason="needs vidattn[onnx]")

CLIP: dict[str, Any] = {"classes": 3, "frames": 4, "size": 32}
VIT: dict[str, Any] = {**CLIP, "width": 32, "depth": 1, "heads": 2}
BLOCKS: dict[str, Any] = {**CLIP, "blocks": (1, 1, 1, 1)}
NARROW: dict[str, Any] = {**BLOCKS, "stem": 8, "widths": (8, 8, 8, 8)}
FAMILIES: dict[str, Any] = {
    **{name: TimeSformerConfig(name, **VIT) for name in SCHEMES if name != "time"},
    "stam": StamConfig(**VIT, time_depth=1, time_heads=2, time_hidden=32),
    "i3d": replace(VARIANTS["i3d-r50"], **NARROW),
    "slowfast": replace(VARIANTS["slowfast-r50-8x8"], **{**NARROW, "frames": 8}),
    "x3d": replace(VARIANTS["x3d-s"], **BLOCKS),
    **{net: Conv2dConfig(net, **BLOCKS, width=16) for net in ("tsm", "stm", "tea", "msnet")},
    "biglittle": BigLittleConfig(**{**BLOCKS, "blocks": (2, 2, 2, 2)}, width=16),
    "head": TemporalConfig(classes=3, vector=16, windows=8, width=8, heads=2, depth=1),
}


def classifier_of(config: Any) -> Classifier:
    """A seeded model without zeros."""
    torch.manual_seed(0)
    model = KINDS[find_kind(config)][1](config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    clip = ClipConfig(getattr(config, "frames", 4), 0.125, short_side=32, crop=32)
    return Classifier(model, clip, ("walk", "run", "jump"), card=ModelCard("tiny", "MIT"))


@pytest.mark.parametrize("family", mostly_slow(FAMILIES, "divided", "stam", "i3d", "tsm", "head"))
def test_every_family_gives_the_same_logits_in_onnx_runtime(family: str, tmp_path: Path) -> None:
    config = FAMILIES[family]
    classifier = classifier_of(config)
    check = graph_export.save_onnx(classifier, tmp_path / "model.onnx")
    assert (check.clips, check.same_label) == (3, 3)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    shape = (8, 16) if family == "head" else (3, config.frames, 32, 32)
    clips = torch.randn(5, *shape)
    (logits,) = session.run(None, {session.get_inputs()[0].name: clips.numpy()})
    with torch.inference_mode():
        expected = classifier.model(clips)
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["labels"] == '["walk", "run", "jump"]'


def test_a_graph_of_any_length_agrees_at_other_lengths(tmp_path: Path) -> None:
    classifier = classifier_of(FAMILIES["divided"])
    graph_export.save_onnx(classifier, tmp_path / "model.onnx", dynamic_frames=True)
    loaded = weights.load(tmp_path / "model.onnx")
    clips = torch.randn(2, 3, 6, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(clips), classifier.model(clips), rtol=0, atol=1e-5)


def test_a_graph_that_does_not_agree_is_not_written(tmp_path: Path) -> None:
    classifier = classifier_of(FAMILIES["slowfast"])
    with pytest.raises(WeightsError, match="not written: ") as caught:
        graph_export.save_onnx(classifier, tmp_path / "model.onnx", dynamic_frames=True)
    assert caught.value.hint == "leave --dynamic-frames out"
    assert list(tmp_path.iterdir()) == []


def test_a_timeline_is_the_same_through_onnx_runtime(
    quick: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    done = quick("models", "export", model, "--layout", "onnx", "-o", "model.onnx")
    assert done.stdout == "model.onnx\n"
    assert "note: checked on 3 clips: logits differ by" in done.stderr
    ours = vidattn.segment(video, weights.load(model))
    theirs = vidattn.segment(video, weights.load(tmp_path / "model.onnx"))
    assert theirs.windows == ours.windows
    assert [s.label for s in theirs.segments] == [s.label for s in ours.segments]
    np.testing.assert_allclose(theirs.scores, ours.scores, rtol=0, atol=1e-3)
    assert theirs.model.license == "MIT"
    count = json.loads(quick("models", "info", model, "--json").stdout)["parameters"]
    assert json.loads(quick("models", "info", "model.onnx", "--json").stdout)["parameters"] == count
    assert "is not a network of ours alone" in quick("bench", "-m", "model.onnx", code=2).stderr
    with pytest.raises(UsageError, match="takes clips of 4 frames, not of 8"):
        vidattn.classify(video, weights.load(tmp_path / "model.onnx"), frames=8)


def test_a_program_of_torch_export_holds_labels(tmp_path: Path) -> None:
    classifier = classifier_of(FAMILIES["space"])
    assert graph_export.save_pt2(classifier, tmp_path / "model.pt2").max_difference < 1e-6
    extra = {"vidattn.json": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert '"walk' in extra["vidattn.json"].replace("\\", "")
    clips = torch.randn(1, 3, 4, 32, 32)
    torch.testing.assert_close(program.module()(clips), classifier.model(clips))


@pytest.mark.parametrize("save", [graph_export.save_onnx, graph_export.save_pt2])
def test_a_taught_model_is_a_graph_unless_it_zooms(
    save: Callable[..., Any], tmp_path: Path
) -> None:
    given = classifier_of(TimeSformerConfig(**VIT))
    config = TaughtConfig(given.model.config, 3, frames=4, size=32, grid=4, levels=(0, 1))
    taught = replace(given, model=TaughtModel(config, given.model).eval())
    assert save(taught, tmp_path / "model").max_difference < 1e-4
    flow = TaughtConfig(FlowConfig(size=32), 3, 2, frames=2, size=32, grid=0, levels=(1, 2))
    model = build_taught(replace(flow, head="kernel", examples=4)).eval()
    assert save(replace(given, model=model), tmp_path / "flow").max_difference < 1e-4
    zooming = replace(taught, model=TaughtModel(replace(config, zoom=True), given.model))
    with pytest.raises(WeightsError, match="taught with zoom cannot be a graph") as caught:
        save(zooming, tmp_path / "zooming")
    assert caught.value.hint == "vidattn teach --zoom off"
    assert not (tmp_path / "zooming").exists()


def test_a_graph_without_a_manifest_is_refused(tmp_path: Path) -> None:
    path = exported(tmp_path, lambda graph: graph.ClearField("metadata_props"))
    with pytest.raises(WeightsError, match="no manifest of vidattn"):
        weights.load(path)


def exported(folder: Path, change: Callable[[Any], None]) -> Path:
    """A graph of a tiny model, changed by hand."""
    path = folder / "model.onnx"
    graph_export.save_onnx(classifier_of(FAMILIES["space"]), path)
    graph = onnx.load_model(path)
    change(graph)
    path.write_bytes(graph.SerializeToString())
    return path


def test_tensors_in_other_files_are_not_read(tmp_path: Path) -> None:
    def point_outside(graph: Any) -> None:
        tensor = graph.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    with pytest.raises(WeightsError, match="tensors in other files, which are not read"):
        weights.load(exported(tmp_path, point_outside))


def test_operators_of_other_libraries_are_refused(tmp_path: Path) -> None:
    def add_foreign(graph: Any) -> None:
        graph.graph.node[0].domain = "evil.example"

    with pytest.raises(WeightsError, match=r"operator of another library: evil\.example"):
        weights.load(exported(tmp_path, add_foreign))


@pytest.mark.parametrize("content", [b"", b"no graph", bytes(1000)])
def test_other_content_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.onnx"):
        weights.load(tmp_path / "model.onnx")


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(graph_files.importlib, "import_module", refuse)
    with pytest.raises(WeightsError, match="needs the package onnx") as caught:
        graph_export.save_onnx(classifier_of(FAMILIES["space"]), tmp_path / "model.onnx")
    assert caught.value.hint == "pip install 'vidattn[onnx]'"


def test_a_timeline_is_the_same_through_openvino(
    quick: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="needs vidattn[openvino]")
    quick("models", "export", model, "--layout", "openvino", "-o", "model.xml")
    ours = vidattn.segment(video, weights.load(model))
    theirs = vidattn.segment(video, weights.load(tmp_path / "model.xml"))
    assert [s.label for s in theirs.segments] == [s.label for s in ours.segments]
    np.testing.assert_allclose(theirs.scores, ours.scores, rtol=0, atol=1e-3)
    tensors = bytearray((tmp_path / "model.bin").read_bytes())
    tensors[100] ^= 1
    (tmp_path / "model.bin").write_bytes(tensors)
    with pytest.raises(WeightsError, match=r"model\.bin beside it belongs to another graph"):
        weights.load(tmp_path / "model.xml")


@pytest.mark.slow
@pytest.mark.parametrize("family", mostly_slow(FAMILIES, "divided", "stam", "i3d", "tsm", "head"))
def test_every_family_gives_the_same_logits_in_openvino(family: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs vidattn[openvino]")
    check = graph_export.save_openvino(classifier_of(FAMILIES[family]), tmp_path / "model.xml")
    assert check.same_label == check.clips == 3


@pytest.mark.slow
def test_8_bit_integers_are_calibrated_on_a_video(
    quick: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("nncf", reason="needs vidattn[openvino]")
    done = quick(
        "models", "export", model, "--layout", "openvino", "--int8", video, "-o", "model.xml"
    )
    assert "checked on 3 clips: scores differ by" in done.stderr
    assert len(weights.load(tmp_path / "model.xml").labels) == 3
