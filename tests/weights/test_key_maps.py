"""The names and shapes of every published file, as the code that wrote them makes them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import convert, key_maps

GOLDEN = json.loads((Path(__file__).parent / "golden" / "keys.json").read_text())
"""By file: how many tensors, and the sha256 of the sorted lines "name 1x2x3"."""
SHAPES: dict[str, dict[str, Any]] = {
    "timesformer_official_divided_8x224": {},
    "timesformer_official_divided_8x224_ssv2": {"classes": 174},
    "timesformer_official_divided_HR_16x448_k400": {"frames": 16, "size": 448},
    "timesformer_official_divided_L_96x224_k400": {"frames": 96},
    "timesformer_official_joint": {"attention": "joint"},
    "timesformer_official_space": {"attention": "space"},
    "timesformer_hf_base_k400": {},
    "timesformer_mmaction2_divided": {},
    "timesformer_mmaction2_joint": {"attention": "joint"},
    "timesformer_mmaction2_space": {"attention": "space"},
}


def is_golden(name: str, state: dict[str, Tensor]) -> bool:
    lines = "\n".join(f"{key} {'x'.join(map(str, t.shape))}" for key, t in sorted(state.items()))
    return [len(state), hashlib.sha256(lines.encode()).hexdigest()] == GOLDEN[name]


@pytest.mark.parametrize("name", SHAPES)
def test_every_timesformer_file_is_known_to_the_last_tensor(name: str) -> None:
    config, layout = TimeSformerConfig(**SHAPES[name]), name.split("_")[1]
    with torch.device("meta"):
        ours = TimeSformer(config).state_dict()
    theirs = key_maps.from_ours(ours, layout, config)
    prefix = "model." if layout == "official" else ""
    assert is_golden(name, {prefix + key: value for key, value in theirs.items()})
    assert key_maps.recognize(theirs) == layout
    read = key_maps.infer_config(theirs, layout)
    assert read == config
    assert key_maps.to_ours(theirs, layout, ours).keys() == ours.keys()


@pytest.mark.parametrize("frames", [16, 32, 64])
def test_every_stam_file_is_known_to_the_last_tensor(frames: int) -> None:
    config = StamConfig(frames=frames)
    with torch.device("meta"):
        ours = Stam(config).state_dict()
        theirs = key_maps.STAM.from_ours(ours)
    assert is_golden(f"stam_{frames}", theirs)
    assert key_maps.recognize(theirs) == "stam"
    assert key_maps.infer_stam_config(theirs, Path("stam.pth")) == config
    assert key_maps.STAM.to_ours(theirs, ours).keys() == ours.keys()


def test_no_golden_is_left_out() -> None:
    assert set(GOLDEN) == {*SHAPES, "stam_16", "stam_32", "stam_64"}
    assert {family for name in SHAPES for family in convert.FAMILIES if family in name} == set(
        convert.FAMILIES
    )
