"""Layouts of checkpoints: the names of tensors in the files of other code bases.

A layout is a table: for a pattern of our names, the name in the file. Files are read, recognized
and written by it alone, strictly. Those of convolutional networks are here, those
of TimeSformer and STAM in `key_maps`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vidattn.errors import WeightsError

IDENTITY = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - 1e-5}
"""Values of a norm (eps 1e-5) that changes nothing."""
VALUES = (*IDENTITY, "in_proj_weight", "in_proj_bias")
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """The names of one code base.

    A rule is a pattern of our name of a layer, and its name there: {0}, {1}, ... are the groups of
    the pattern, {0+1} is one more, and ":3" at the end stands for three axes of length 1 that its
    tensor has more than ours, unless it is a bias. No dot follows a name that ends in "_".
    """

    rules: Rules
    absent: str = ""
    """Pattern of our layers that it lacks: a norm that is the identity there."""
    unused: str = ""
    """Pattern of names in the file that its code never reads."""
    fast_first: bool = False
    """Whether the head's columns of the fast pathway come before those of the slow one."""

    def find(self, ours: str) -> tuple[str, int]:
        """The name there of our tensor, and the axes of length 1 that it has more.

        Raises WeightsError where it has none.
        """
        layer, _, value = ours.rpartition(".")
        layer, end = (layer, f".{value}") if value in VALUES else (ours, ".weight")
        for pattern, template in self.rules:
            if found := re.fullmatch(pattern, layer):
                name, _, axes = template.partition(":")
                end = end.removeprefix(".") if name.endswith("_") else end
                return _fill(name, found.groups()) + end, 0 if value == "bias" else int(axes or 0)
        raise WeightsError(f"no layer of this layout corresponds to {layer}")

    def lacks(self, ours: str) -> bool:
        """Whether it has no tensor for ours."""
        return bool(self.absent and re.match(self.absent, ours))

    def ignores(self, theirs: str) -> bool:
        """Whether its code never reads a tensor: counts of batches, and layers left over."""
        left_over = self.unused and re.match(self.unused, theirs)
        return bool(left_over) or theirs.endswith("num_batches_tracked")

    def from_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our state dict under its names."""
        theirs = {}
        for ours, tensor in state.items():
            if not self.lacks(ours):
                name, axes = self.find(ours)
                swapped = _swap(tensor) if self.fast_first and ours == "head.weight" else tensor
                theirs[name] = swapped.reshape(*tensor.shape, *[1] * axes)
        return theirs

    def to_ours(
        self, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """A state dict with exactly its names, under ours.

        expected: the state dict of our model, for its shapes.
        """
        ours = {}
        for name, tensor in expected.items():
            if self.lacks(name):
                ours[name] = torch.full(tensor.shape, IDENTITY[name.rpartition(".")[2]])
            else:
                ours[name] = state[self.find(name)[0]].reshape(tensor.shape)
        if self.fast_first:
            ours["head.weight"] = _swap(ours["head.weight"], forward=False)
        return ours


SLOW_SHARE = 8 / 9
"""Share of the head's columns that belong to the slow pathway."""


def _swap(head: Tensor, *, forward: bool = True) -> Tensor:
    """Columns of the slow pathway behind those of the fast one; or back."""
    slow = (
        round(head.shape[1] * SLOW_SHARE)
        if forward
        else head.shape[1] - round(head.shape[1] * SLOW_SHARE)
    )
    return head.roll(-slow, dims=1)


def _fill(template: str, groups: tuple[str, ...]) -> str:
    def value(match: re.Match[str]) -> str:
        text = groups[int(match[1])]
        return str(int(text) + int(match[2])) if match[2] else text

    return re.sub(r"\{(\d)(\+\d)?\}", value, template)


def layers(pattern: str, block: str, parts: str) -> Rules:
    """Rules for the layers of the blocks that a pattern names; parts: ours, theirs, alternating."""
    words = parts.split()
    pairs = zip(words[::2], words[1::2], strict=True)
    return tuple((rf"{pattern}\.{re.escape(ours)}", f"{block}.{theirs}") for ours, theirs in pairs)


STAGE = r"stages\.(\d)\.(\d)\.(\d+)"
FRAME_STAGE = r"stages\.(\d)\.(\d+)"
PYSLOWFAST_BLOCK = """
    a.conv branch2.a  a.norm branch2.a_bn  b.conv branch2.b  b.norm branch2.b_bn
    c.conv branch2.c  c.norm branch2.c_bn  shortcut.conv branch1  shortcut.norm branch1_bn
    gate.reduce branch2.se.fc1  gate.expand branch2.se.fc2
"""
PYSLOWFAST_NON_LOCAL = "query conv_theta  key conv_phi  value conv_g  out conv_out  norm bn"
PYTORCHVIDEO_BLOCK = """
    a.conv branch2.conv_a  a.norm branch2.norm_a  b.conv branch2.conv_b  b.norm branch2.norm_b
    c.conv branch2.conv_c  c.norm branch2.norm_c  shortcut.conv branch1_conv
    shortcut.norm branch1_norm
"""
X3D_BLOCK = (
    PYTORCHVIDEO_BLOCK.replace("branch2.norm_b", "branch2.norm_b.0")
    + """
    gate.reduce branch2.norm_b.1.block.0  gate.expand branch2.norm_b.1.block.2
"""
)
MMACTION_BLOCK = """
    a.conv conv1.conv  a.norm conv1.bn  b.conv conv2.conv  b.norm conv2.bn  c.conv conv3.conv
    c.norm conv3.bn  shortcut.conv downsample.conv  shortcut.norm downsample.bn
    gate.reduce se_module.fc1  gate.expand se_module.fc2
"""
RESNET_BLOCK = """
    a.conv conv1  a.norm bn1  b.conv conv2  b.norm bn2  c.conv conv3  c.norm bn3
    shortcut.conv downsample.0  shortcut.norm downsample.1
"""
POOLED_BLOCK = RESNET_BLOCK.replace("downsample.1", "downsample.2").replace(".0", ".1")
TSM_BLOCK = RESNET_BLOCK.replace("conv1 ", "conv1.net ")
TSM_NON_LOCAL = "query theta  key phi.0  value g.0  out W.0  norm W.1"
STM_BLOCK = (
    RESNET_BLOCK
    + """
    time shift  squeeze.conv mb.stage_conv  squeeze.norm mb.stage_bn  transform mb.shift
    expand mb.conv1x1
"""
)
TEA_BLOCK = (
    RESNET_BLOCK
    + """
    squeeze.conv me.conv1  squeeze.norm me.bn1  transform me.conv2
    expand.conv me.conv3  expand.norm me.bn3
"""
)
TIME_WEIGHTS = "time.before tam.prev:3  time.here tam.curr:3  time.behind tam.next:3"

PYSLOWFAST = Layout(
    (
        *layers(r"stems\.(\d)\.unit", "s1.pathway{0}_stem", "conv conv  norm bn"),
        (r"stems\.0\.space", "s1.pathway0_stem.conv_xy"),
        *layers(r"stems\.0\.time", "s1.pathway0_stem", "conv conv  norm bn"),
        (r"laterals\.(\d)\.conv", "s{0+1}_fuse.conv_f2s"),
        (r"laterals\.(\d)\.norm\.0", "s{0+1}_fuse.bn"),
        *layers(rf"{STAGE}\.non_local", "s{0+2}.pathway{1}_nonlocal{2}", PYSLOWFAST_NON_LOCAL),
        *layers(STAGE, "s{0+2}.pathway{1}_res{2}", PYSLOWFAST_BLOCK),
        *layers(r"features\.before", "head", "conv conv_5  norm conv_5_bn"),
        (r"features\.behind", "head.lin_5:3"),
        ("head", "head.projection"),
    )
)
PYTORCHVIDEO_I3D = Layout(
    (
        (r"stems\.0\.unit\.(conv|norm)", "blocks.0.{0}"),
        *layers(r"stages\.(0)\.(0)\.(\d+)", "blocks.1.res_blocks.{2}", PYTORCHVIDEO_BLOCK),
        *layers(STAGE, "blocks.{0+2}.res_blocks.{2}", PYTORCHVIDEO_BLOCK),
        ("head", "blocks.6.proj"),
    )
)
PYTORCHVIDEO_SLOWFAST = Layout(
    (
        (r"stems\.(\d)\.unit\.(conv|norm)", "blocks.0.multipathway_blocks.{0}.{1}"),
        (r"laterals\.(\d)\.conv", "blocks.{0}.multipathway_fusion.conv_fast_to_slow"),
        (r"laterals\.(\d)\.norm\.0", "blocks.{0}.multipathway_fusion.norm"),
        *layers(STAGE, "blocks.{0+1}.multipathway_blocks.{1}.res_blocks.{2}", PYTORCHVIDEO_BLOCK),
        ("head", "blocks.6.proj"),
    )
)
PYTORCHVIDEO_X3D = Layout(
    (
        (r"stems\.0\.space", "blocks.0.conv.conv_t"),  # its names are swapped
        *layers(r"stems\.0\.time", "blocks.0", "conv conv.conv_xy  norm norm"),
        *layers(rf"{STAGE}", "blocks.{0+1}.res_blocks.{2}", X3D_BLOCK),
        *layers(r"features\.before", "blocks.5.pool", "conv pre_conv  norm pre_norm"),
        (r"features\.behind", "blocks.5.pool.post_conv:3"),
        ("head", "blocks.5.proj"),
    ),
    absent=r"stages\.0\.0\.0\.shortcut\.norm\.",
)
MMACTION_I3D = Layout(
    (
        *layers(r"stems\.0\.unit", "backbone.conv1", "conv conv  norm bn"),
        *layers(STAGE, "backbone.layer{0+1}.{2}", MMACTION_BLOCK),
        ("head", "cls_head.fc_cls"),
    )
)
MMACTION_SLOWFAST = Layout(
    (
        *layers(r"stems\.0\.unit", "backbone.slow_path.conv1", "conv conv  norm bn"),
        *layers(r"stems\.1\.unit", "backbone.fast_path.conv1", "conv conv  norm bn"),
        *layers(r"stages\.(\d)\.0\.(\d+)", "backbone.slow_path.layer{0+1}.{1}", MMACTION_BLOCK),
        *layers(r"stages\.(\d)\.1\.(\d+)", "backbone.fast_path.layer{0+1}.{1}", MMACTION_BLOCK),
        (r"laterals\.0\.conv", "backbone.slow_path.conv1_lateral.conv"),
        (r"laterals\.(\d)\.conv", "backbone.slow_path.layer{0}_lateral.conv"),
        ("head", "cls_head.fc_cls"),
    ),
    fast_first=True,
)
MMACTION_X3D = Layout(
    (
        (r"stems\.0\.space", "backbone.conv1_s.conv"),
        *layers(r"stems\.0\.time", "backbone.conv1_t", "conv conv  norm bn"),
        *layers(STAGE, "backbone.layer{0+1}.{2}", MMACTION_BLOCK),
        *layers(r"features\.before", "backbone.conv5", "conv conv  norm bn"),
        (r"features\.behind", "cls_head.fc1"),
        ("head", "cls_head.fc2"),
    )
)
RESNET_STEM: Rules = ((r"stem\.conv", "conv1"), (r"stem\.norm", "bn1"))
TSM_STEM: Rules = tuple((ours, f"base_model.{theirs}") for ours, theirs in RESNET_STEM)
TSM = Layout(
    (
        *TSM_STEM,
        *layers(FRAME_STAGE, "base_model.layer{0+1}.{1}", TSM_BLOCK),
        ("head", "new_fc"),
    )
)
TSM_NON_LOCAL_LAYOUT = Layout(
    (
        *TSM_STEM,
        *layers(rf"{FRAME_STAGE}\.non_local", "base_model.layer{0+1}.{1}.nl", TSM_NON_LOCAL),
        *layers(r"stages\.(1)\.([02])", "base_model.layer{0+1}.{1}.block", TSM_BLOCK),
        *layers(r"stages\.(2)\.([024])", "base_model.layer{0+1}.{1}.block", TSM_BLOCK),
        *layers(FRAME_STAGE, "base_model.layer{0+1}.{1}", TSM_BLOCK),
        ("head", "new_fc"),
    )
)
MMACTION_TSM = Layout(
    (
        *layers(r"stem", "backbone.conv1", "conv conv  norm bn"),
        *layers(
            FRAME_STAGE,
            "backbone.layer{0+1}.{1}",
            MMACTION_BLOCK.replace("conv1.conv ", "conv1.conv.net "),
        ),
        ("head", "cls_head.fc_cls"),
    )
)
MSNET = Layout(
    (
        *TSM_STEM,
        *layers(FRAME_STAGE, "base_model.layer{0+1}.{1}", RESNET_BLOCK),
        *layers(r"squeeze\.reduce", "base_model.chnl_reduction", "conv 0  norm 1"),
        *layers(r"squeeze\.within\.(\d)", "base_model.flow_refinement.conv{0+1}", "conv 0  norm 1"),
        *layers(r"squeeze\.across\.(\d)", "base_model.flow_refinement.conv{0+1}", "conv 3  norm 4"),
        ("head", "new_fc:1"),
    ),
    unused=r"base_model\.bn2\.",
)
TEA = Layout(
    (
        *TSM_STEM,
        *layers(FRAME_STAGE, "base_model.layer{0+1}.{1}", TEA_BLOCK),
        (rf"{FRAME_STAGE}\.times\.(\d)", "base_model.layer{0+1}.{1}.shifts.{2}.conv"),
        (rf"{FRAME_STAGE}\.spaces\.(\d)\.conv", "base_model.layer{0+1}.{1}.convs.{2}"),
        (rf"{FRAME_STAGE}\.spaces\.(\d)\.norm", "base_model.layer{0+1}.{1}.bns.{2}"),
        ("head", "new_fc"),
    )
)
STM = Layout((*RESNET_STEM, *layers(FRAME_STAGE, "layer{0+1}.{1}", STM_BLOCK), ("head", "fc")))
BLVNET = Layout(
    (
        *layers(r"stem\.conv", "baseline_model", "conv conv1  norm bn1"),
        *layers(r"stem\.big", "baseline_model", "conv b_conv0  norm bn_b0"),
        *layers(r"stem\.little\.(\d)", "baseline_model", "conv l_conv{0}  norm bn_l{0}"),
        *layers(r"stem\.merge", "baseline_model", "conv bl_init  norm bn_bl_init"),
        *layers("stem", "baseline_model", TIME_WEIGHTS),
        *layers(r"stages\.(\d)", "baseline_model.layer{0+1}", TIME_WEIGHTS),
        *layers(r"last\.(\d)", "baseline_model.layer4.{0}", TIME_WEIGHTS),
        *layers(r"stages\.(\d)\.big\.(\d+)", "baseline_model.layer{0+1}.big.{1}", POOLED_BLOCK),
        *layers(
            r"stages\.(\d)\.little\.(\d+)", "baseline_model.layer{0+1}.little.{1}", RESNET_BLOCK
        ),
        *layers(r"stages\.(\d)\.widen", "baseline_model.layer{0+1}.little_e", "conv 0  norm 1"),
        *layers(r"stages\.(\d)\.merge", "baseline_model.layer{0+1}.fusion.0", POOLED_BLOCK),
        *layers(r"last\.(\d)\.block", "baseline_model.layer4.{0}", POOLED_BLOCK),
        ("head", "new_fc"),
    )
)
LAYOUTS = {
    "s1.pathway1_stem.conv.weight": ("pyslowfast-slowfast", PYSLOWFAST),
    "s1.pathway0_stem.conv_xy.weight": ("pyslowfast-x3d", PYSLOWFAST),
    "s1.pathway0_stem.conv.weight": ("pyslowfast-i3d", PYSLOWFAST),
    "blocks.0.multipathway_blocks.0.conv.weight": ("pytorchvideo-slowfast", PYTORCHVIDEO_SLOWFAST),
    "blocks.0.conv.conv_t.weight": ("pytorchvideo-x3d", PYTORCHVIDEO_X3D),
    "blocks.6.proj.weight": ("pytorchvideo-i3d", PYTORCHVIDEO_I3D),
    "backbone.slow_path.conv1.conv.weight": ("mmaction2-slowfast", MMACTION_SLOWFAST),
    "backbone.conv1_s.conv.weight": ("mmaction2-x3d", MMACTION_X3D),
    "backbone.layer1.0.conv1.conv.net.weight": ("mmaction2-tsm", MMACTION_TSM),
    "backbone.layer1.0.conv1.conv.weight": ("mmaction2-i3d", MMACTION_I3D),
    "base_model.layer2.0.nl.theta.weight": ("tsm-nl", TSM_NON_LOCAL_LAYOUT),
    "base_model.layer1.0.conv1.net.weight": ("tsm", TSM),
    "base_model.flow_refinement.conv1.0.weight": ("msnet", MSNET),
    "base_model.layer1.0.me.conv1.weight": ("tea", TEA),
    "baseline_model.layer1.tam.prev.weight": ("blvnet", BLVNET),
    "layer1.0.mb.stage_conv.weight": ("stm", STM),
}
"""A name that tells a layout, those before it apart, with the layout and its name."""
