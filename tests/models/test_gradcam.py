"""Grad-CAM of convolutional networks."""

import pytest
import torch

from tests.models.builders import noise
from vidattn.config import BigLittleConfig, Conv2dConfig, Conv3dConfig, ModelConfig
from vidattn.models.attribution import grad_cam
from vidattn.models.classifier import build_model

SMALL = {"classes": 3, "size": 64, "blocks": (1, 1, 1, 1)}
SLIM = {"stem": 8, "widths": (8, 8, 16, 16), "readout": "logit"}
NETS: dict[str, ModelConfig] = {
    "i3d": Conv3dConfig("i3d", frames=8, **SMALL, **SLIM),
    "slowfast": Conv3dConfig("slowfast", frames=8, **SMALL, **SLIM),
    "tsm": Conv2dConfig("tsm", frames=8, width=8, **SMALL),
    "tea": Conv2dConfig("tea", frames=8, width=16, **SMALL),
    "blvnet": BigLittleConfig(frames=8, width=8, **SMALL | {"blocks": (2, 2, 2, 1)}),
}


@pytest.mark.parametrize("name", NETS)
def test_cells_add_up_to_the_logit_less_its_bias(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(NETS[name]).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    clips, classes = noise(2, 3, 8, 64, 64), torch.tensor([0, 2])
    cells = grad_cam(model, clips, classes)
    logits = model(clips).detach().gather(1, classes[:, None])[:, 0]
    assert cells.shape == (2, 8, 2, 2)
    expected = logits - model.head.bias.detach()[classes]
    torch.testing.assert_close(cells.sum((1, 2, 3)), expected, rtol=1e-4, atol=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_place_that_speaks_for_a_class_is_found() -> None:
    """A net whose head looks at brightness: the bright corner has the largest share."""
    torch.manual_seed(0)
    model = build_model(NETS["tsm"]).eval()
    clips = torch.zeros(1, 3, 8, 64, 64)
    clips[:, :, 2, :32, 32:] = 5
    with torch.no_grad():
        change = model.encode(clips).mean(1) - model.encode(torch.zeros_like(clips)).mean(1)
        model.head.weight.copy_(change.expand(3, -1))
    cells = grad_cam(model, clips, torch.tensor([1]))[0]
    assert torch.unravel_index(cells.argmax(), cells.shape)[1:] == (0, 1)
