"""Graphs for other runtimes that vidattn exported, run by ONNX Runtime and OpenVINO.

The file holds the manifest of the weights file that it was made from, so that windows, labels and
averaging stay the same. A graph consists of operators of the runtime and executes no other code;
tensors outside the file are refused, and no operators of others are loaded. What its operators
compute is not limited: like a program, a graph can take long and ask for much memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidattn.config import TemporalConfig
from vidattn.errors import WeightsError
from vidattn.io.files import read_file, reading, sha256
from vidattn.io.text import first_line
from vidattn.models.classifier import Classifier
from vidattn.models.foreign import ExportedModel
from vidattn.weights.safetensors_file import build_classifier, parse_manifest, refuse
from vidattn.weights.snapshot import require_regular

SUFFIXES = (".onnx", ".xml")
MOST_BYTES = 1 << 31
"""The limit of the ONNX format."""
MANIFEST, WEIGHTS = "vidattn", "weights_sha256"
"""Keys of the metadata: the manifest, and of OpenVINO the digest of the .bin file."""
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Domains of operators that ONNX Runtime has."""

Run = Callable[[np.ndarray], np.ndarray]


def load_graph(path: Path) -> Classifier:
    """The classifier in a .onnx or .xml file that `vidattn models export` wrote.

    Needs the extra vidattn[onnx] or vidattn[openvino]. Raises WeightsError.
    """
    read = read_onnx if path.suffix == ".onnx" else read_openvino
    text, run, frames, digest = read(path)
    if text is None:
        raise WeightsError(
            f"{path}: has no manifest of vidattn: its labels and preprocessing are unknown",
            hint="graphs come from: vidattn models export MODEL --layout onnx -o model.onnx",
        )
    manifest = parse_manifest(text, path)
    if isinstance(manifest.model, TemporalConfig):
        refuse(path, "a graph of a head over windows; `--pool head=` takes its run folder")
    return build_classifier(ExportedModel(run, manifest.model, frames).eval(), manifest, digest)


Graph = tuple[str | None, Run, int | None, str]
"""The manifest, a function from clips to logits, the length of clips or None for any, a digest."""


def read_onnx(path: Path) -> Graph:
    """The graph in a .onnx file, for the CPU. Raises WeightsError."""
    onnx, runtime = require_package("onnx", path), require_package("onnxruntime", path)
    require_regular(path)
    with reading(path, WeightsError):
        data = read_file(path, MOST_BYTES)
    _check_onnx(onnx, data, path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # errors are raised
    errors = _runtime_errors(runtime)
    try:
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except errors as error:
        refuse(path, f"not for ONNX Runtime: {first_line(error)}", error)
    (entry, *others) = session.get_inputs()
    if others or len(session.get_outputs()) != 1:
        refuse(path, "has other inputs and outputs than clips and logits")

    def run(clips: np.ndarray) -> np.ndarray:
        try:
            (logits,) = session.run(None, {entry.name: clips})
        except errors as error:
            refuse(path, f"ONNX Runtime fails: {first_line(error)}", error)
        return np.asarray(logits)

    manifest = session.get_modelmeta().custom_metadata_map.get(MANIFEST)
    frames = entry.shape[2] if len(entry.shape) == 5 else None
    return manifest, run, frames if isinstance(frames, int) else None, sha256(data)


def _check_onnx(onnx: Any, data: bytes, path: Path) -> None:
    """Raise WeightsError for tensors outside the file and for operators of other libraries."""
    protobuf = require_package("google.protobuf.message", path)
    try:
        model = onnx.load_model_from_string(data)
    except protobuf.DecodeError as error:
        refuse(path, "not an ONNX file, or cut off", error)
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        for tensor in getattr(graph, "initializer", ()):
            _require_inside(onnx, tensor, path)
        for node in graph.node:
            if node.domain not in DOMAINS:
                refuse(path, f"has an operator of another library: {node.domain[:80]}")
            for attribute in node.attribute:
                graphs += [*attribute.graphs, *[attribute.g] * attribute.HasField("g")]
                for tensor in (*attribute.tensors, *[attribute.t] * attribute.HasField("t")):
                    _require_inside(onnx, tensor, path)


def _require_inside(onnx: Any, tensor: Any, path: Path) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        refuse(path, "has tensors in other files, which are not read")


def _runtime_errors(runtime: Any) -> tuple[type[Exception], ...]:
    """The errors of ONNX Runtime, which share no class of their own."""
    state = runtime.capi.onnxruntime_pybind11_state
    names = ("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf")
    kinds = [getattr(state, name) for name in (*names, "NotImplemented", "RuntimeException")]
    return (*kinds, RuntimeError, ValueError)


def read_openvino(path: Path) -> Graph:
    """The graph in a .xml file with its .bin beside it, for the CPU. Raises WeightsError."""
    openvino = require_package("openvino", path)
    weights = path.with_suffix(".bin")
    for one in (path, weights):
        require_regular(one)
    with reading(path, WeightsError):
        text, data = read_file(path), read_file(weights, MOST_BYTES)
    core = openvino.Core()
    try:
        model = core.read_model(text, openvino.Tensor(np.frombuffer(data, np.uint8).copy()))
        threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        precise = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(model, "CPU", {**threads, **precise})
    except RuntimeError as error:
        refuse(path, f"not for OpenVINO: {first_line(error)}", error)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        refuse(path, "has other inputs and outputs than clips and logits")
    if _metadata(model, WEIGHTS) not in (None, sha256(data)):
        refuse(path, f"{weights.name} beside it belongs to another graph")

    def run(clips: np.ndarray) -> np.ndarray:
        try:
            return np.array(compiled([clips])[0])
        except RuntimeError as error:
            refuse(path, f"OpenVINO fails: {first_line(error)}", error)

    shape = model.inputs[0].partial_shape
    fixed = shape.rank.is_static and len(shape) == 5 and shape[2].is_static
    frames = shape[2].get_length() if fixed else None
    return _metadata(model, MANIFEST), run, frames, sha256(text + data)


def _metadata(model: Any, key: str) -> str | None:
    """A text that was set in a graph of OpenVINO."""
    if not model.has_rt_info(["vidattn", key]):
        return None
    return str(model.get_rt_info(["vidattn", key]).astype(str))


def require_package(name: str, path: Path) -> Any:
    """An optional package. Raises WeightsError that names the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = "openvino" if name in ("openvino", "nncf") else "onnx"
        hint = f"pip install 'vidattn[{extra}]'"
        raise WeightsError(f"{path}: needs the package {name}", hint=hint) from error
