"""Attribution compared with the dense [N, N] matrices it stands for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.builders import STAM, make, noise, tiny
from vidattn.config import BigLittleConfig, Conv2dConfig, Conv3dConfig, ModelConfig
from vidattn.models import attribution, timesformer
from vidattn.models.attribution import grad_cam, relevance, rollout
from vidattn.models.classifier import build_model
from vidattn.models.timesformer import SCHEMES, SelfAttention, StepSpec, TimeSformer

T, SIDE = 4, 4  # clips of `tiny` have 4 frames of 4 x 4 patches
PATCHES = T * SIDE * SIDE


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Collects every attention matrix [R, heads, N, N] of a forward pass, with gradients."""
    collected: list[Tensor] = []

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        collected.append((q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1))
        return collected[-1] @ v

    monkeypatch.setattr(timesformer, "attention", attention)
    return collected


def index(t: int, h: int, w: int) -> int:
    """The index of a patch among all tokens; the class token is 0."""
    return 1 + (t * SIDE + h) * SIDE + w


def groups(name: str) -> list[list[int]]:
    """The patches that meet in a step, row by row, in the order of its rows."""
    frames, places = range(T), range(SIDE)
    if name == "time":
        return [[index(t, h, w) for t in frames] for h, w in product(places, places)]
    if name == "space":
        return [[index(t, h, w) for h, w in product(places, places)] for t in frames]
    if name == "joint":
        return [[*range(1, 1 + PATCHES)]]
    if name == "width":
        return [[index(t, h, w) for w in places] for t, h in product(frames, places)]
    if name == "height":
        return [[index(t, h, w) for h in places] for t, w in product(frames, places)]
    if name == "local":
        halves = [range(2), range(2, 4)]
        return [[index(*at) for at in product(frames, a, b)] for a, b in product(halves, halves)]
    strides = [range(0, 4, 2), range(1, 4, 2)]
    return [[index(*at) for at in product(a, b, c)] for a, b, c in product(*[strides] * 3)]


def densify(spec: StepSpec, attention: Tensor) -> Tensor:
    """The map [N, N] of a step from its matrices [R, n, n], the mean over heads."""
    dense = torch.zeros(1 + PATCHES, 1 + PATCHES)
    rows = groups(spec.name)
    for members, matrix in zip(rows, attention, strict=True):
        tokens = [0, *members] if spec.cls else members
        for a, i in enumerate(tokens):
            for b, j in enumerate(tokens):
                dense[i, j] += matrix[a, b] / (len(rows) if i == 0 else 1)
    return dense


def stages(model: TimeSformer, maps: list[Tensor]) -> list[list[Tensor]]:
    """The dense maps of the steps of all blocks; those with the same input together."""
    result, rest = [], iter(maps)
    for block in model.blocks:
        steps = [densify(step.spec, next(rest)) for step in block.steps.values()]
        result += [steps] if block.parallel else [[step] for step in steps]
    return result


VARIANTS = [
    *({"attention": name} for name in SCHEMES if name != "space"),
    *({"order": order} for order in ("space-time", "parallel")),
]
variants = pytest.mark.parametrize("change", VARIANTS, ids=lambda change: "".join(change.values()))


@variants
@torch.no_grad()
def test_rollout_is_the_product_of_dense_maps(change: dict[str, str], maps: list[Tensor]) -> None:
    model = tiny(**change)
    model(noise())
    total = torch.eye(1 + PATCHES)
    for steps in stages(model, [a.mean(1) for a in maps]):
        branches = 1 + sum((m.sum(1) > 0).float() for m in steps)
        total = (torch.eye(1 + PATCHES) + sum(steps)) / branches[:, None] @ total
    torch.testing.assert_close(total.sum(1), torch.ones(1 + PATCHES))
    result = rollout(model, noise())
    torch.testing.assert_close(result.patches.flatten(), total[0, 1:], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(result.cls, total[0, :1], rtol=1e-4, atol=1e-7)


@variants
def test_relevance_is_maps_times_gradients(change: dict[str, str], maps: list[Tensor]) -> None:
    model = tiny(**change)
    pairs = zip(maps, torch.autograd.grad(model(noise())[0, 3], maps), strict=True)
    weighted = [(a * g).clamp(min=0).mean(1).detach() for a, g in pairs]
    total = torch.eye(1 + PATCHES)
    for steps in stages(model, weighted):
        total = total + sum(steps) @ total
    result = relevance(model, noise(), torch.tensor([3]))
    torch.testing.assert_close(result.patches.flatten(), total[0, 1:], rtol=1e-3, atol=1e-7)


@torch.no_grad()
def test_independent_frames_share_the_class_token_evenly() -> None:
    model, clip = tiny("space"), noise()
    result = rollout(model, clip)
    for t in range(T):
        alone = rollout(model, clip[:, :, t : t + 1])
        torch.testing.assert_close(result.patches[:, t] * T, alone.patches[:, 0])


@torch.no_grad()
def test_stam_is_propagated_over_the_frames_and_then_within_each_frame() -> None:
    model: Any = make(STAM)
    clip, images = noise(), tiny("space")
    for block, other in zip(images.blocks, model.blocks, strict=True):
        step = block.steps["space"]
        step.attn.load_state_dict(other.attn.state_dict())
        for norm, source in ((step.norm, other.attn_norm), (block.norm, other.mlp_norm)):
            norm.load_state_dict(source.state_dict())
            norm.eps = source.eps
        block.mlp.load_state_dict(other.mlp.state_dict())
    for name in ("patch", "cls", "cls_pos", "pos"):
        setattr(images, name, getattr(model, name))
    weight = torch.eye(1 + T)
    cls, x = model.add_class_token(model.encode_frames(clip[0].transpose(0, 1))[None])
    x = torch.cat([cls[:, None], x], 1)
    for layer in model.over_time.layers:
        _, a = layer.self_attn(x, x, x, need_weights=True)
        weight = (a[0] + torch.eye(1 + T)) / 2 @ weight
        x = layer(x)
    result = rollout(model, clip)
    for t in range(T):
        expected = weight[0, 1 + t] * rollout(images, clip[:, :, t : t + 1]).patches[0, 0]
        torch.testing.assert_close(result.patches[0, t], expected, rtol=1e-4, atol=1e-7)
    assert result.patches.sum() + result.cls == pytest.approx(1, abs=1e-5)


MODELS: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: tiny(name) for name in SCHEMES},
    "stam": lambda: make(STAM),
}


@pytest.mark.parametrize("name", MODELS)
def test_shares_sum_to_one_and_a_clip_is_independent_of_its_batch(name: str) -> None:
    model, clips = MODELS[name](), noise(2, 3, 4, 64, 64)
    result = rollout(model, clips)
    assert result.patches.shape == (2, T, SIDE, SIDE)
    torch.testing.assert_close(result.patches.sum((1, 2, 3)) + result.cls, torch.ones(2))
    classes = torch.tensor([1, 4])
    for attribute in (rollout, lambda m, c: relevance(m, c, classes[: len(c)])):
        both, first = attribute(model, clips).patches, attribute(model, clips[:1]).patches
        torch.testing.assert_close(both[:1], first, rtol=1e-4, atol=1e-7)
    other = relevance(model, clips, torch.tensor([2, 4])).patches
    assert not torch.allclose(other[0], relevance(model, clips, classes).patches[0])
    assert (other >= 0).all()


@pytest.mark.parametrize("name", ["divided", "joint"])
def test_small_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, clip, classes = tiny(name), noise(), torch.tensor([1])
    before = rollout(model, clip).patches, relevance(model, clip, classes).patches
    monkeypatch.setattr(attribution, "MAX_ENTRIES", 300)
    torch.testing.assert_close(rollout(model, clip).patches, before[0])
    torch.testing.assert_close(relevance(model, clip, classes).patches, before[1])


def test_attribution_leaves_the_model_unchanged() -> None:
    model = tiny().requires_grad_(True)
    relevance(model, noise(), torch.tensor([0]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())


def test_uniform_attention_has_known_shares() -> None:
    """By hand: a block in which every token attends to all others equally."""
    model = tiny(depth=1)
    for module in model.modules():
        if isinstance(module, SelfAttention):
            nn.init.zeros_(module.qkv.weight)
            nn.init.zeros_(module.qkv.bias)
    result = rollout(model, noise())
    # The class token: half itself, half the mean over the 16 patches of a frame and its own copy.
    torch.testing.assert_close(result.cls, torch.tensor([0.5 + 0.5 / 17]))
    expected = torch.full((1, T, SIDE, SIDE), 0.5 / 17 / T)
    torch.testing.assert_close(result.patches, expected, rtol=1e-5, atol=0)
    assert (result.patches >= 0).all()


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
