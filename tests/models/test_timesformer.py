from typing import Any

import pytest
import torch
from torch import Tensor, nn

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


def tiny(attention: str = "divided", **more: Any) -> TimeSformer:
    """A seeded model with nothing left at zero, in eval mode; its clips are [B, 3, 4, 64, 64]."""
    shape = {"frames": 4, "size": 64, "width": 32, "depth": 2, "heads": 2, "drop_path": 0.0}
    config = TimeSformerConfig(attention, 5, **(shape | more))
    torch.manual_seed(0)
    model = TimeSformer(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def clip(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape or (1, 3, 4, 64, 64), generator=torch.Generator().manual_seed(seed))


def parameters(config: TimeSformerConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in TimeSformer(config).parameters())


@pytest.mark.parametrize("attention", SCHEMES)
def test_parameter_counts_are_those_of_the_paper(attention: str) -> None:
    assert parameters(TimeSformerConfig(attention, classes=174)) == PARAMETERS[attention]


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
def test_parameter_counts_are_those_of_the_released_files(
    config: TimeSformerConfig, count: int
) -> None:
    assert parameters(config) == count


@torch.no_grad()
def test_a_fresh_divided_model_ignores_the_order_of_frames() -> None:
    torch.manual_seed(0)
    config = TimeSformerConfig(classes=5, frames=4, size=64, width=32, depth=2, heads=2)
    model, first = TimeSformer(config).eval(), clip()
    torch.testing.assert_close(model(first), model(first[:, :, [2, 0, 3, 1]]))


@torch.no_grad()
def test_a_fresh_divided_block_on_a_still_is_the_block_of_the_image() -> None:
    torch.manual_seed(0)
    config = TimeSformerConfig(classes=5, frames=4, size=64, width=32, depth=2, heads=2)
    divided = TimeSformer(config).eval()
    still = clip(1, 3, 1, 64, 64)
    space = TimeSformer(TimeSformerConfig("space", 5, 4, 64, width=32, depth=2, heads=2)).eval()
    space.load_state_dict(
        {k: v for k, v in divided.state_dict().items() if ".steps.time." not in k and k != "time"}
    )
    expected = space(still)
    torch.testing.assert_close(divided(still.expand(-1, -1, 4, -1, -1)), expected)


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
        assert x.grad is not None
        seen = x.grad[0].abs().sum(-1) > 0
        assert torch.equal(seen, reach[step.spec.name](*grid)), step.spec.name


def test_written_out_attention_agrees_with_the_fused_kernel() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 6, 2, 9, 8, generator=generator).unbind()
    results = []
    for attend in (attention, nn.functional.scaled_dot_product_attention):
        leaves = [t.clone().requires_grad_() for t in (q, k, v)]
        y = attend(*leaves)
        y.square().sum().backward()
        results.append([y, *(leaf.grad for leaf in leaves)])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_drop_path_drops_whole_rows_in_training_only() -> None:
    model = tiny(drop_path=0.5)
    first = clip()
    torch.testing.assert_close(model(first), tiny()(first))
    model.train()
    torch.manual_seed(0)
    drop = model.blocks[1].drop
    rows = drop(torch.ones(1000, 7, 3))
    assert set(rows.flatten().tolist()) == {0.0, 2.0}
    assert (rows == rows[:, :1, :1]).all()
    assert 0.4 < (rows[:, 0, 0] == 0).float().mean() < 0.6


def test_all_initial_values_are_those_of_the_official_code() -> None:
    torch.manual_seed(0)
    model = TimeSformer(TimeSformerConfig(classes=400, depth=2))
    for name, value in model.named_parameters():
        if name == "time" or ".out." in name or (name.endswith("bias") and "patch" not in name):
            assert (value == 0).all(), name
        elif "norm" in name:
            assert (value == 1).all(), name
        elif "patch" not in name:
            assert 0.018 < value.std().item() < 0.022, name


def test_resized_embeddings_repeat_their_nearest_neighbour() -> None:
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


def test_pixels_that_make_no_whole_patch_are_refused() -> None:
    with pytest.raises(UsageError, match=r"70x64 pixels do not divide into .* 16x16"):
        tiny()(clip(1, 3, 4, 64, 70))


def test_an_odd_number_of_frames_cannot_be_halved() -> None:
    with pytest.raises(UsageError, match="global attention step halves t, which is odd: 3"):
        tiny("local-global")(clip(1, 3, 3, 64, 64))


ABLATIONS = [
    *({"order": order} for order in ("space-time", "parallel")),
    *({"positions": positions} for positions in ("none", "space")),
]


@pytest.mark.parametrize("change", ABLATIONS, ids=lambda change: "-".join(change.values()))
def test_every_ablation_learns_with_every_parameter(change: dict[str, Any]) -> None:
    model = tiny(**change).train()
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    nn.functional.cross_entropy(model(clip(2, 3, 4, 64, 64)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert [k for k, p in model.named_parameters() if torch.equal(p, before[k])] == []


@torch.no_grad()
def test_the_order_of_attention_has_the_same_parameters_and_another_result() -> None:
    first = tiny()
    logits = [first(clip())]
    for order in ("space-time", "parallel"):
        model = tiny(order=order)
        assert model.state_dict().keys() == first.state_dict().keys()
        model.load_state_dict(first.state_dict())
        logits.append(model(clip()))
    one, two, three = logits
    assert min((a - b).abs().max() for a, b in ((one, two), (two, three), (one, three))) > 1e-4


@torch.no_grad()
def test_without_positions_patches_may_change_places() -> None:
    model, first = tiny(positions="none"), clip()
    assert not {"pos", "cls_pos", "time"} & model.state_dict().keys()
    moved = first.roll(16, 3).roll(1, 2)
    torch.testing.assert_close(model(first), model(moved), rtol=1e-4, atol=1e-4)
    assert (tiny()(first) - tiny()(moved)).abs().max() > 1e-2


@torch.no_grad()
def test_positions_of_space_alone_do_not_tell_the_order_of_frames() -> None:
    model, first = tiny(positions="space"), clip()
    torch.testing.assert_close(model(first), model(first.flip(2)), rtol=1e-4, atol=1e-4)
    assert (model(first) - model(first.roll(16, 3))).abs().max() > 1e-3


def test_only_divided_attention_has_orders() -> None:
    with pytest.raises(RecipeError, match="joint attention has no order 'parallel'"):
        tiny("joint", order="parallel")


def test_checkpointing_keeps_less_for_the_way_back() -> None:
    kept = []
    for again in (False, True):
        model, sizes = tiny(depth=6).train(), []
        model.activation_checkpointing = again
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            model(clip())
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 4
