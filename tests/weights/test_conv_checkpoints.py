"""Checkpoints of convolutional networks in the layouts of their authors."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers import mostly_slow
from tests.models.builders import make, noise
from tests.models.test_conv import CONV2D, CONV3D, SMALL
from vidattn import weights
from vidattn.config import ModelConfig
from vidattn.errors import WeightsError
from vidattn.models.classifier import Model
from vidattn.weights.key_layouts import LAYOUTS

TABLES = dict(LAYOUTS.values())
SLOWFAST = replace(SMALL["slowfast"], frames=32, size=224, slow_step=4)
POOLED = {"readout": "pooled"}
# The config that follows from the tensors alone, by layout.
FILES: dict[str, ModelConfig] = {
    "pyslowfast-i3d": replace(CONV3D, frames=8, size=224),
    "pyslowfast-slowfast": SLOWFAST,
    "pyslowfast-x3d": replace(SMALL["x3d"], frames=16, size=224),
    "pytorchvideo-i3d": replace(CONV3D, frames=8, size=224, readout="logit"),
    "pytorchvideo-slowfast": replace(SLOWFAST, readout="logit"),
    "pytorchvideo-x3d": replace(SMALL["x3d"], frames=16, size=224, readout="logit"),
    "mmaction2-i3d": replace(CONV3D, frames=32, size=224, stem_step=2, **POOLED),
    "mmaction2-slowfast": replace(SLOWFAST, lateral_norm=False, slow_frames="stepped", **POOLED),
    "mmaction2-x3d": replace(SMALL["x3d"], frames=16, size=224, **POOLED),
    "mmaction2-tsm": replace(CONV2D, frames=8, size=224),
    "tsm": replace(CONV2D, frames=8, size=224),
    "tsm-nl": replace(CONV2D, frames=8, size=224, blocks=(1, 3, 5, 1), non_local=True),
    "msnet": replace(SMALL["msnet"], frames=16, size=224),
    "tea": replace(SMALL["tea"], frames=16, size=224),
    "stm": replace(SMALL["stm"], frames=16, size=224),
    "blvnet": replace(SMALL["blvnet"], frames=16, size=224),
}
RECOGNIZED = ("pyslowfast-slowfast", "pytorchvideo-x3d", "mmaction2-i3d", "tsm-nl", "tea", "blvnet")


def write(path: Path, layout: str, model: Model) -> dict[str, Tensor]:
    """A checkpoint as the layout's authors write it."""
    state = TABLES[layout].from_ours(model.state_dict())
    counts = {
        name.replace("running_var", "num_batches_tracked"): torch.tensor(7)
        for name in state
        if name.endswith("running_var")
    }
    torch.save({"state_dict": {**state, **counts}, "epoch": 3}, path)
    return state


def make_for(layout: str) -> Model:
    model = make(FILES[layout])
    state = model.state_dict()
    table = TABLES[layout]
    model.load_state_dict(table.to_ours(table.from_ours(state), state))
    return model


@pytest.mark.parametrize("layout", mostly_slow(FILES, *RECOGNIZED))
@torch.no_grad()
def test_files_of_every_layout_are_recognized_and_give_the_same_logits(
    layout: str, tmp_path: Path
) -> None:
    model = make_for(layout)
    write(tmp_path / "net.pth", layout, model)
    classifier = weights.load(tmp_path / "net.pth")
    assert classifier.model.config == FILES[layout]
    clips = noise(1, 3, FILES[layout].frames, 64, 64)
    assert torch.equal(classifier.model(clips), model(clips))
    assert classifier.clip.frames == FILES[layout].frames
    assert any("assumed" in note for note in classifier.card.notes)


def test_the_head_of_msnet_has_an_axis_more_and_its_bias_has_not() -> None:
    state = TABLES["msnet"].from_ours(make_for("msnet").state_dict())
    assert (state["new_fc.weight"].shape, state["new_fc.bias"].shape) == ((5, 1024, 1), (5,))


def test_a_missing_layer_is_named_as_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    state = write(path, "pyslowfast-i3d", make_for("pyslowfast-i3d"))
    del state["s3.pathway0_res1.branch2.c_bn.running_var"]
    torch.save({"model_state": state}, path)
    with pytest.raises(WeightsError, match=r"missing s3\.pathway0_res1\.branch2\.c_bn"):
        weights.load(path)


def test_of_files_called_pkl_those_of_torch_are_read_and_those_of_caffe2_are_not(
    tmp_path: Path,
) -> None:
    write(tmp_path / "torch.pkl", "pyslowfast-i3d", make_for("pyslowfast-i3d"))
    assert weights.load(tmp_path / "torch.pkl").model.config == FILES["pyslowfast-i3d"]
    blobs = {"conv1_w": np.zeros((8, 3, 5, 7, 7), np.float32)}
    (tmp_path / "caffe2.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    with pytest.raises(WeightsError, match="not a PyTorch checkpoint") as caught:
        weights.load(tmp_path / "caffe2.pkl")
    assert "the same networks: -m i3d-k400" in (caught.value.hint or "")


def test_probabilities_are_averaged_where_the_authors_did(tmp_path: Path) -> None:
    for layout, averaging in (("pyslowfast-i3d", "probability"), ("tsm", "logit")):
        write(tmp_path / "net.pth", layout, make_for(layout))
        assert weights.load(tmp_path / "net.pth").averaging == averaging
