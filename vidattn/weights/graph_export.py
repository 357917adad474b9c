"""Export as a graph for other runtimes: ONNX, OpenVINO, torch.export.

The graph takes clips as `Classifier.clip` prepares them and returns logits, for any batch size. It
is traced, then compared with the model by the runtime that is meant to run it, and the file appears
only if both agree. Its metadata hold the labels and the preprocessing in words, and our manifest.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidattn.config.serialization import to_plain
from vidattn.errors import WeightsError
from vidattn.io.files import read_file, replacing_file, sha256, write_atomically
from vidattn.io.text import first_line
from vidattn.models.classifier import Classifier
from vidattn.models.foreign import ExportedModel
from vidattn.models.taught import TaughtModel
from vidattn.models.temporal_head import TemporalHead
from vidattn.weights.graph_files import (
    MANIFEST,
    WEIGHTS,
    Run,
    read_onnx,
    read_openvino,
    require_package,
)
from vidattn.weights.safetensors_file import dump_manifest

CHECKED = 3
"""Clips that the graph and the model are compared on."""
LOGIT_TOLERANCE = 1e-4
"""Largest difference of logits, for logits up to 1; relative above."""
INT8_TOLERANCE = 0.1
"""Largest difference of a score of int8, as in a precision check of a video."""
OPSET = 17
"""The version of ONNX's operators: the first with layer norm."""
MOST_CLIPS = 64
"""The largest batch of a program: beyond it, models compute in parts."""
NO_DIGEST = "0" * 64
"""Stands in the graph until the digest of the tensors is known."""


@dataclass(frozen=True)
class GraphCheck:
    """The graph in a file beside the model that it was made from."""

    clips: int
    same_label: int
    """Clips with the same best label."""
    max_difference: float
    """The largest difference of a logit; of int8 that of a score."""
    int8: bool = False

    def __str__(self) -> str:
        """A sentence."""
        what = "scores" if self.int8 else "logits"
        return (
            f"checked on {self.clips} clips: {what} differ by {self.max_difference:.2g} at most, "
            f"same best label in {self.same_label}"
        )


def save_onnx(
    classifier: Classifier, path: str | Path, *, dynamic_frames: bool = False
) -> GraphCheck:
    """Write a graph for ONNX Runtime and others. Needs the extra vidattn[onnx].

    dynamic_frames: whether clips may have any length. Raises WeightsError for a model that cannot
    be exported or computes something else as a graph, OutputError when it cannot be written.
    """
    onnx = require_package("onnx", Path(path))
    with replacing_file(path) as part:
        _trace(classifier.model, _make_clips(classifier, dynamic_frames)[0], part, dynamic_frames)
        graph = onnx.load_model(part)
        onnx.helper.set_model_props(
            graph, {**_describe(classifier), MANIFEST: dump_manifest(classifier)}
        )
        part.write_bytes(graph.SerializeToString(deterministic=True))
        _, run, *_ = read_onnx(part)
        return _check(classifier, run, path, dynamic_frames)


def save_openvino(
    classifier: Classifier,
    path: str | Path,
    *,
    dynamic_frames: bool = False,
    calibration: Sequence[Tensor] = (),
) -> GraphCheck:
    """Write a graph for OpenVINO: a .xml file, and its tensors in a .bin file beside it.

    calibration: clips [3, T, H, W] of real videos, for 8-bit integers; without clips the graph is
    float32. Needs the extra vidattn[openvino]. Arguments and errors are those of `save_onnx`.
    """
    openvino, path = require_package("openvino", Path(path)), Path(path)
    require_package("onnx", path)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "graph.xml"
        example = _make_clips(classifier, dynamic_frames)[0]
        _trace(classifier.model, example, place.with_suffix(".onnx"), dynamic_frames)
        model = openvino.Core().read_model(place.with_suffix(".onnx"))
        if calibration:
            model = _quantize(model, calibration, path)
        values = {**_describe(classifier), MANIFEST: dump_manifest(classifier), WEIGHTS: NO_DIGEST}
        for key, value in values.items():
            model.set_rt_info(value, ["vidattn", key])
        openvino.serialize(model, place, place.with_suffix(".bin"))
        tensors = read_file(place.with_suffix(".bin"), 1 << 31)
        text = read_file(place).replace(NO_DIGEST.encode(), sha256(tensors).encode())
        place.write_bytes(text)
        _, run, *_ = read_openvino(place)
        check = _check(classifier, run, path, dynamic_frames, calibration)
    write_atomically(path.with_suffix(".bin"), tensors)
    write_atomically(path, text)
    return check


def save_pt2(classifier: Classifier, path: str | Path) -> GraphCheck:
    """Write a program of torch.export, for batches up to MOST_CLIPS.

    Its extra file vidattn.json holds the metadata. Errors are those of `save_onnx`.
    """
    example = _make_clips(classifier, False)[0]
    axes = {0: torch.export.Dim("batch", max=MOST_CLIPS)}
    facts = {**_describe(classifier), MANIFEST: dump_manifest(classifier)}
    with replacing_file(path) as part, _tracing(classifier.model):
        program = torch.export.export(classifier.model.eval(), (example,), dynamic_shapes=(axes,))
        with part.open("wb") as file:
            torch.export.save(program, file, extra_files={"vidattn.json": json.dumps(facts)})
        with part.open("rb") as file:
            module = torch.export.load(file).module()
        run = lambda clips: module(torch.from_numpy(clips)).numpy()  # noqa: E731
        return _check(classifier, run, path, False)


def _trace(model: nn.Module, example: Tensor, path: Path, dynamic_frames: bool) -> None:
    """Write the ONNX graph of a model. The tracer takes a twentieth of the time of torch.export,
    and knows every operation of our models; `_check` finds what it would take for constant."""
    axes = {0: "batch", **({2 if example.ndim == 5 else 1: "frames"} if dynamic_frames else {})}
    with _tracing(model):
        torch.onnx.export(
            model.eval(),
            (example,),
            str(path),
            input_names=["clips" if example.ndim == 5 else "embeddings"],
            output_names=["logits"],
            dynamic_axes={
                ("clips" if example.ndim == 5 else "embeddings"): axes,
                "logits": {0: "batch"},
            },
            opset_version=OPSET,
            dynamo=False,
        )


@contextmanager
def _tracing(model: nn.Module) -> Iterator[None]:
    """What a tracer needs; its errors become a WeightsError."""
    if isinstance(model, TaughtModel) and model.config.zoom:
        raise WeightsError(
            "a model that was taught with zoom cannot be a graph: its crop depends on the pixels",
            hint="vidattn teach --zoom off",
        )
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that no other runtime has
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    except (AssertionError, RuntimeError, SyntaxError) as error:
        kind, reason = type(model).__name__, first_line(error)
        raise WeightsError(f"this {kind} cannot be exported: {reason}") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _quantize(model: Any, clips: Sequence[Tensor], path: Path) -> Any:
    """A graph of OpenVINO in 8-bit integers, for values as in these clips."""
    nncf = require_package("nncf", path)
    dataset = nncf.Dataset([clip[None].numpy() for clip in clips])
    return nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER)


def _check(
    classifier: Classifier,
    run: Run,
    path: str | Path,
    dynamic_frames: bool,
    calibration: Sequence[Tensor] = (),
) -> GraphCheck:
    """Compare the graph with the model. Raises WeightsError if it computes something else."""
    batches = [torch.stack(list(calibration)[:CHECKED])] if calibration else []
    batches = batches or _make_clips(classifier, dynamic_frames)[1:]
    pairs = []
    hint = "leave --dynamic-frames out" if dynamic_frames else None
    for clips in batches:
        with torch.inference_mode():
            expected = classifier.model.eval()(clips)
        try:
            logits = torch.from_numpy(np.asarray(run(clips.numpy())))
        except WeightsError as error:
            raise WeightsError(f"{path}: not written: its graph does not run", hint=hint) from error
        pairs.append((expected, logits))
    same = sum(int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in pairs)
    count = sum(len(a) for a, _ in pairs)
    if calibration:
        worst = max(float((a.softmax(-1) - b.softmax(-1)).abs().max()) for a, b in pairs)
        right = worst <= INT8_TOLERANCE
    else:
        worst = max(float((a - b).abs().max()) for a, b in pairs)
        largest = max(float(a.abs().max()) for a, _ in pairs)
        right = worst <= LOGIT_TOLERANCE * max(1.0, largest) and same == count
    check = GraphCheck(count, same, worst, bool(calibration))
    if not right:
        raise WeightsError(
            f"{path}: not written: the graph does not compute what the model does ({check})",
            hint=hint,
        )
    return check


def _make_clips(classifier: Classifier, dynamic_frames: bool) -> list[Tensor]:
    """Noise in the place of clips: a batch to trace, then batches to check, CHECKED clips each."""
    model, clip = classifier.model, classifier.clip
    if isinstance(model, ExportedModel):
        raise WeightsError(f"{classifier.card.name}: is a graph already")
    generator = torch.Generator().manual_seed(0)

    def draw(count: int, frames: int) -> Tensor:
        if isinstance(model, TemporalHead):
            return torch.randn(count, frames, model.config.vector, generator=generator)
        return torch.randn(count, 3, frames, clip.crop, clip.crop, generator=generator)

    frames = model.config.windows if isinstance(model, TemporalHead) else clip.frames
    if not dynamic_frames:
        return [draw(2, frames), draw(CHECKED, frames)]
    # Traced at another length than the trained one, where embeddings are not resized.
    return [draw(2, 2 * frames), draw(CHECKED, frames), draw(CHECKED, 4 * frames)]


def _describe(classifier: Classifier) -> Mapping[str, str]:
    """What a user of the graph must know, for any reader of metadata."""
    clip, card = classifier.clip, classifier.card
    text = (
        f"clips float32 [batch, 3, frames, {clip.crop}, {clip.crop}]: {clip.frames} frames, "
        f"{clip.step_seconds:g} s apart, short side {clip.short_side} (bilinear), center crop, "
        f"{clip.channels.upper()} / 255, minus mean, by std"
    )
    return {
        "labels": json.dumps(classifier.labels, ensure_ascii=False),
        "preprocessing": json.dumps({**to_plain(clip), "text": text}),
        "activation": classifier.activation,
        "name": card.name,
        "license": card.license or "unknown",
    }
