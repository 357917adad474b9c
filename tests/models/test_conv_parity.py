"""Convolutional networks against outputs of the authors' code, with weights made by a recipe."""

import json
import math
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers import mostly_slow
from vidattn.config import BigLittleConfig, Conv2dConfig, Conv3dConfig, ModelConfig
from vidattn.models import biglittle, conv2d, conv3d
from vidattn.models.classifier import Model, build_model
from vidattn.models.flops import count_macs
from vidattn.weights.key_layouts import LAYOUTS, Layout

GOLDEN = json.loads((Path(__file__).parent / "golden" / "conv.json").read_text())
TABLES: dict[str, Layout] = dict(LAYOUTS.values())
I3D = Conv3dConfig("i3d", 10, 4, 64, stem=8, widths=(8, 16, 32, 64))
SLOWFAST = Conv3dConfig("slowfast", 10, 16, 64, stem=16, widths=(16, 32, 64, 128))
X3D = Conv3dConfig(
    "x3d", 10, 4, 64, stem=24, widths=(24, 48, 96, 192), blocks=(1, 2, 5, 3), drop=0.5
)
FRAMES = Conv2dConfig(classes=10)
NON_LOCAL = ((1, 1), (1, 3), (2, 1), (2, 3), (2, 5))
SMALL: dict[str, tuple[str, ModelConfig]] = {
    "pysf_i3d": ("pyslowfast-i3d", I3D),
    "pysf_i3d_nln": ("pyslowfast-i3d", replace(I3D, non_local=NON_LOCAL)),
    "pysf_i3d_nln_dot": ("pyslowfast-i3d", replace(I3D, non_local=((1, 1),), affinity="dot")),
    "pysf_slowfast_8x8": ("pyslowfast-slowfast", SLOWFAST),
    "pysf_slowfast_4x16": ("pyslowfast-slowfast", replace(SLOWFAST, slow_step=8, lateral_kernel=5)),
    "pysf_slowfast_r101_50_50": (
        "pyslowfast-slowfast",
        replace(SLOWFAST, lateral_kernel=5, blocks=conv3d.R101, temporal_blocks=6),
    ),
    "pysf_x3d": ("pyslowfast-x3d", X3D),
    "ptv_i3d": ("pytorchvideo-i3d", replace(I3D, readout="logit")),
    "ptv_slowfast_8x8": ("pytorchvideo-slowfast", replace(SLOWFAST, readout="logit")),
    "ptv_x3d": ("pytorchvideo-x3d", replace(X3D, readout="logit")),
    "mm_i3d": ("mmaction2-i3d", replace(I3D, frames=8, stem_step=2, readout="pooled")),
    "mm_slowfast_8x8": (
        "mmaction2-slowfast",
        replace(SLOWFAST, readout="pooled", lateral_norm=False, slow_frames="stepped"),
    ),
    "mm_x3d": ("mmaction2-x3d", replace(X3D, readout="pooled")),
}
LARGE: dict[str, tuple[str, ModelConfig]] = {
    "tsm_r50": ("tsm", FRAMES),
    "tea_r50": ("tea", replace(FRAMES, net="tea")),
    "stm_r50": ("stm", replace(FRAMES, net="stm", frames=4)),
    "msnet_r50": ("msnet", replace(FRAMES, net="msnet", frames=4)),
    "blvnet_tam_50": ("blvnet", BigLittleConfig(10, 8)),
    "mm_tsm_r50": ("mmaction2-tsm", FRAMES),
    "tsm_r50_nl": ("tsm-nl", replace(FRAMES, non_local=True)),
}


def draw(name: str, shape: torch.Size) -> Tensor:
    """The value of a tensor of that name in a file, by the recipe of the references."""
    seed = zlib.crc32(name.encode())
    drawn = np.random.RandomState(seed).standard_normal(math.prod(shape)).reshape(shape)
    if len(shape) > 1:
        drawn /= math.sqrt(math.prod(shape[1:]))
    else:
        drawn = 1 + 0.1 * drawn if name.endswith(("weight", "running_var")) else 0.05 * drawn
    return torch.from_numpy(drawn.astype(np.float32))


def build(layout: str, config: ModelConfig) -> Model:
    """A model with the weights of the recipe, in eval mode."""
    model, table = build_model(config), TABLES[layout]
    ours = model.state_dict()
    theirs = {name: draw(name, value.shape) for name, value in table.from_ours(ours).items()}
    model.load_state_dict(table.to_ours(theirs, ours))
    return model.eval()


def clips(*shape: int) -> Tensor:
    drawn = np.random.RandomState(0).standard_normal(math.prod(shape)).reshape(shape)
    return torch.from_numpy(drawn.astype(np.float32))


@torch.inference_mode()
def check(name: str, layout: str, config: ModelConfig) -> None:
    model, golden = build(layout, config), dict(GOLDEN["small"][name])
    golden.pop("parameters")
    assert golden
    for words, values in golden.items():
        kind, shape = words.split()
        expected, logits = torch.tensor(values), model(clips(*map(int, re.split("x", shape))))
        found = logits.softmax(-1) if kind == "probabilities" else logits
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max(), words


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_those_of_the_authors_code(name: str) -> None:
    check(name, *SMALL[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_outputs_of_large_networks_are_those_of_the_authors_code(name: str) -> None:
    check(name, *LARGE[name])


FULL: dict[str, tuple[str, ModelConfig, tuple[int, ...]]] = {
    "i3d_8x8_r50": ("pyslowfast-i3d", conv3d.I3D, (8, 224)),
    "i3d_8x8_r50_256": ("pyslowfast-i3d", conv3d.I3D, (8, 256)),
    "x3d_m": ("pyslowfast-x3d", conv3d.X3D, (16, 224)),
    "x3d_l": ("pyslowfast-x3d", conv3d.VARIANTS["x3d-l"], (16, 312)),
    "ptv_x3d_l": ("pytorchvideo-x3d", conv3d.VARIANTS["x3d-l"], (16, 312)),
    "slowfast_8x8_r50": ("pyslowfast-slowfast", conv3d.SLOWFAST, (32, 224)),
    "slowfast_4x16_r50": ("pyslowfast-slowfast", conv3d.VARIANTS["slowfast-r50-4x16"], (32, 224)),
    "ptv_slowfast_8x8_r50": ("pytorchvideo-slowfast", conv3d.SLOWFAST, (32, 224)),
    "tsm_r50_8f_k400": ("tsm", conv2d.TSM, (8, 224)),
    "tsm_r50_16f_ssv2": ("tsm", replace(conv2d.TSM, classes=174, frames=16), (16, 224)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
@torch.inference_mode()
def test_published_shapes_give_the_outputs_of_the_authors_code(name: str) -> None:
    layout, config, (frames, side) = FULL[name]
    golden = GOLDEN["full"][name]
    logits = build(layout, config)(clips(1, 3, frames, side, side))[0]
    found = logits.softmax(-1) if name.endswith("_256") else logits
    assert (found[:8] - torch.tensor(golden["first8"])).abs().max() < 1e-5 * found.abs().max()
    assert float(found.sum()) == pytest.approx(golden["sum"], abs=1e-3 * max(1, abs(golden["sum"])))


@torch.inference_mode()
def test_displacements_are_those_of_motion_squeeze() -> None:
    squeeze = conv2d.MotionSqueeze(512).eval()
    names = {"conv.weight": "0.weight", "norm.weight": "1.weight", "norm.bias": "1.bias"}
    names |= {f"norm.running_{x}": f"1.running_{x}" for x in ("mean", "var")}
    state = squeeze.reduce.state_dict()
    squeeze.reduce.load_state_dict(
        {k: draw(f"base_model.chnl_reduction.{n}", state[k].shape) for k, n in names.items()}
    )
    flow, golden = squeeze.displacements(clips(4, 512, 8, 8).abs(), 4)[0], GOLDEN["motion"]
    for axis, name in enumerate(("flow_x_first8", "flow_y_first8", "confidence_first8")):
        torch.testing.assert_close(
            flow[:, axis].flatten()[:8], torch.tensor(golden[name]), rtol=1e-4, atol=1e-5
        )
    assert float(flow[:, :2].abs().sum()) == pytest.approx(golden["flow_abs_sum"], rel=1e-4)


# Variant, parameters with 400 classes, and GMAC of a clip, at a size: papers and authors' code.
COSTS = {
    "i3d-r50": (28_043_472, 256, 37.11),
    "i3d-r50-nln": (35_401_936, 256, 48.92),
    "slowfast-r50-4x16": (34_480_216, 256, 36.10),
    "slowfast-r50-8x8": (34_566_488, 256, 65.71),
    "slowfast-r101-8x8": (62_826_968, 256, 125.91),
    "slowfast-r101-16x8": (53_774_808, 256, 213.02),
    "x3d-s": (3_794_322, 182, 2.727),
    "x3d-m": (3_794_322, 256, 6.186),
    "x3d-l": (6_153_432, 356, 24.78),
    "x3d-xl": (11_095_904, 356, 48.42),
    "tsm-r50": (24_327_632, 256, 42.71),
    "stm-r50": (24_498_740, 224, 66.15),
    "tea-r50": (24_919_354, 224, 69.08),
    "msnet-r50": (24_398_537, 224, 66.44),  # without a norm that its code never uses
}


@pytest.mark.parametrize(
    "name", mostly_slow(COSTS, "i3d-r50", "slowfast-r50-4x16", "x3d-s", "tsm-r50")
)
def test_parameters_and_operations_are_the_published_ones(name: str) -> None:
    parameters, size, giga = COSTS[name]
    config = (conv3d.VARIANTS | conv2d.VARIANTS)[name]
    with torch.device("meta"):
        model = build_model(config)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count_macs(config, size=size) / 1e9 == pytest.approx(giga, rel=2e-4)


def test_a_slow_pathway_reaches_the_last_frame() -> None:
    assert conv3d.slow_frames(conv3d.SLOWFAST, 32) == [0, 4, 8, 13, 17, 22, 26, 31]
    assert conv3d.slow_frames(conv3d.VARIANTS["slowfast-r50-4x16"], 32) == [0, 10, 20, 31]
    stepped = replace(conv3d.SLOWFAST, slow_frames="stepped")
    assert conv3d.slow_frames(stepped, 32) == list(range(0, 32, 4))


def test_the_deep_net_of_blvnet_has_the_published_parameters() -> None:
    with torch.device("meta"):
        model = build_model(replace(biglittle.VARIANTS["blvnet-tam-101"], classes=400))
    assert sum(p.numel() for p in model.parameters()) == 40_640_208
