"""Initial values for training from scratch."""

import torch
from torch.testing import assert_close

from vidattn.config import TimeSformerConfig
from vidattn.models.init_scratch import cosine_filters, init_from_scratch
from vidattn.models.timesformer import TimeSformer

CONFIG = TimeSformerConfig(classes=10, frames=8, size=48, patch=12, width=64, depth=2, heads=4)


def test_filters_are_orthogonal_within_brightness() -> None:
    bright = cosine_filters(40, 12)[:34].flatten(1)
    products = torch.nn.functional.normalize(bright) @ torch.nn.functional.normalize(bright).T
    assert_close(products, torch.eye(34), rtol=0, atol=1e-5)


def test_fine_filters_are_amplified() -> None:
    assert (cosine_filters(40, 12)[1:34].flatten(1).norm(dim=1).diff() >= -1e-6).all()


def test_the_same_generator_gives_the_same_model() -> None:
    one, other = TimeSformer(CONFIG), TimeSformer(CONFIG)
    for model in (one, other):
        init_from_scratch(model, torch.Generator().manual_seed(3))
    names = [n for n in one.state_dict() if not n.startswith(("head", "cls"))]
    for name in names:
        assert_close(one.state_dict()[name], other.state_dict()[name], rtol=0, atol=0)


def test_a_fresh_model_depends_on_the_order_of_frames() -> None:
    model = TimeSformer(CONFIG).eval()
    init_from_scratch(model, torch.Generator().manual_seed(3))
    clips = torch.randn(1, 3, 8, 48, 48)
    with torch.no_grad():
        assert (model(clips) - model(clips.flip(2))).abs().max() > 1e-3
