from itertools import combinations

import pytest
import torch
from torch import nn

from tests.models.builders import SMALL, noise, tiny
from vidattn.config import TimeSformerConfig
from vidattn.errors import RecipeError, UsageError
from vidattn.models.timesformer import (
    SCHEMES,
    AttentionStep,
    TimeSformer,
    attention,
    resize_space,
    resize_time,
)

PARAMETERS = {  # arXiv:2102.05095, Table 1 (SSv2 head), to the digit; time is not in the paper
    "space": 85_932_462,
    "time": 85_938_606,
    "joint": 85_938_606,
    "divided": 121_392_558,
    "local-global": 121_392_558,
    "axial": 156_846_510,
}


def count_parameters(config: TimeSformerConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in TimeSformer(config).parameters())


@pytest.mark.parametrize("attention", SCHEMES)
def test_parameter_counts_are_those_of_the_paper(attention: str) -> None:
    assert count_parameters(TimeSformerConfig(attention, classes=174)) == PARAMETERS[attention]


@pytest.mark.parametrize(
    "config, count",
    [
        (TimeSformerConfig(), 121_566_352),
        (TimeSformerConfig(frames=16, size=448), 122_024_080),
        (TimeSformerConfig(frames=96), 121_633_936),
        (TimeSformerConfig(classes=1059, frames=32), 122_091_555),
    ],
    ids=["base", "HR", "L", "HowTo100M"],
)
def test_parameter_counts_match_the_released_files(config: TimeSformerConfig, count: int) -> None:
    assert count_parameters(config) == count


@torch.no_grad()
def test_a_fresh_divided_model_ignores_the_order_of_frames() -> None:
    torch.manual_seed(0)
    model, clip = TimeSformer(TimeSformerConfig(**SMALL)).eval(), noise()
    torch.testing.assert_close(model(clip), model(clip[:, :, [2, 0, 3, 1]]))


@torch.no_grad()
def test_a_fresh_divided_model_treats_a_still_video_like_the_image_model() -> None:
    torch.manual_seed(0)
    divided = TimeSformer(TimeSformerConfig(**SMALL)).eval()
    space = TimeSformer(TimeSformerConfig("space", **SMALL)).eval()
    space.load_state_dict(
        {k: v for k, v in divided.state_dict().items() if ".steps.time." not in k and k != "time"}
    )
    still = noise(1, 3, 1, 64, 64)
    torch.testing.assert_close(divided(still.expand(-1, -1, 4, -1, -1)), space(still))


@pytest.mark.parametrize("attention", SCHEMES)
def test_tokens_meet_as_the_scheme_says(attention: str) -> None:
    """The gradient of one patch after one step reaches exactly the patches of its group."""
    reach = {
        "space": lambda t, h, w: t == 2,
        "time": lambda t, h, w: (h == 1) & (w == 2),
        "joint": lambda t, h, w: t >= 0,
        "local": lambda t, h, w: (h == 1) & (w < 3),
        "global": lambda t, h, w: (t % 2 == 0) & (h % 2 == 1) & (w % 2 == 0),
        "width": lambda t, h, w: (t == 2) & (h == 1),
        "height": lambda t, h, w: (t == 2) & (w == 2),
    }
    grid = torch.meshgrid(*map(torch.arange, (4, 2, 6)), indexing="ij")
    for step in tiny(attention).blocks[0].steps.values():
        assert isinstance(step, AttentionStep)
        x = torch.randn(1, 4, 2, 6, 32, requires_grad=True)
        _, y = step(torch.randn(1, 32), x)
        y[0, 2, 1, 2].sum().backward()
        reached = x.grad[0].abs().sum(-1) > 0
        assert torch.equal(reached, reach[step.spec.name](*grid)), step.spec.name


def test_plain_attention_agrees_with_the_fused_kernel() -> None:
    q, k, v = torch.randn(3, 6, 2, 9, 8, generator=torch.Generator().manual_seed(0)).unbind()
    results = []
    for function in (attention, nn.functional.scaled_dot_product_attention):
        leaves = [t.clone().requires_grad_() for t in (q, k, v)]
        y = function(*leaves)
        y.square().sum().backward()
        results.append([y, *(leaf.grad for leaf in leaves)])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_drop_path_drops_whole_rows_in_training_only() -> None:
    model = tiny(drop_path=0.5)
    torch.testing.assert_close(model(noise()), tiny()(noise()))
    model.train()
    torch.manual_seed(0)
    rows = model.blocks[1].drop(torch.ones(1000, 7, 3))
    assert set(rows.flatten().tolist()) == {0.0, 2.0}
    assert (rows == rows[:, :1, :1]).all()
    assert 0.4 < (rows[:, 0, 0] == 0).float().mean() < 0.6


def test_initial_values_are_those_of_the_official_code() -> None:
    torch.manual_seed(0)
    for name, value in TimeSformer(TimeSformerConfig(classes=400, depth=2)).named_parameters():
        if name == "time" or ".out." in name or (name.endswith("bias") and "patch" not in name):
            assert (value == 0).all(), name
        elif "norm" in name:
            assert (value == 1).all(), name
        elif "patch" not in name:
            assert 0.018 < value.std().item() < 0.022, name


def test_resized_embeddings_repeat_their_nearest_neighbor() -> None:
    time = torch.arange(4.0)[:, None]
    assert resize_time(time, 6)[:, 0].tolist() == [0, 0, 1, 2, 2, 3]
    assert resize_time(time, 4) is time
    pos = torch.arange(4.0).reshape(2, 2, 1)
    assert resize_space(pos, 2, 4)[..., 0].tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]
    assert resize_space(pos, 1, 4)[..., 0].tolist() == [[0, 1, 2, 3]]


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="no attention scheme 'dvided'") as caught:
        TimeSformer(TimeSformerConfig("dvided"))
    assert "divided" in (caught.value.hint or "")


def test_pixels_that_fill_no_whole_patch_are_refused() -> None:
    with pytest.raises(UsageError, match=r"70x64 pixels do not divide into .* 16x16"):
        tiny()(noise(1, 3, 4, 64, 70))


def test_an_odd_number_of_frames_cannot_be_halved() -> None:
    with pytest.raises(UsageError, match="global attention step halves t, which is odd: 3"):
        tiny("local-global")(noise(1, 3, 3, 64, 64))


@torch.no_grad()
def test_orders_of_attention_share_parameters_but_not_results() -> None:
    logits = []
    for order in ("time-space", "space-time", "parallel"):
        model = tiny(order=order)
        model.load_state_dict(tiny().state_dict())
        logits.append(model(noise()))
    assert min((a - b).abs().max() for a, b in combinations(logits, 2)) > 1e-4


@torch.no_grad()
def test_without_positions_patches_may_change_places() -> None:
    model, clip = tiny(positions="none"), noise()
    assert not {"pos", "cls_pos", "time"} & model.state_dict().keys()
    moved = clip.roll(16, 3).roll(1, 2)
    torch.testing.assert_close(model(clip), model(moved), rtol=1e-4, atol=1e-4)
    assert (tiny()(clip) - tiny()(moved)).abs().max() > 1e-2


@torch.no_grad()
def test_positions_in_space_only_ignore_the_order_of_frames() -> None:
    model, clip = tiny(positions="space"), noise()
    torch.testing.assert_close(model(clip), model(clip.flip(2)), rtol=1e-4, atol=1e-4)
    assert (model(clip) - model(clip.roll(16, 3))).abs().max() > 1e-3


def test_only_divided_attention_has_orders() -> None:
    with pytest.raises(RecipeError, match="joint attention has no order 'parallel'"):
        tiny("joint", order="parallel")


def test_activation_checkpointing_stores_fewer_activations() -> None:
    totals = []
    for recompute in (False, True):
        model, sizes = tiny(depth=6).train(), []
        model.activation_checkpointing = recompute
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            model(noise())
        totals.append(sum(sizes))
    assert totals[1] < totals[0] / 4
