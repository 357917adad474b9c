"""Attention followed back through the blocks, beside the dense [N, N] matrices it stands for."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.test_timesformer import clip, tiny
from vidattn.config import StamConfig
from vidattn.models import attribution as rollouts
from vidattn.models import timesformer
from vidattn.models.attribution import relevance, rollout
from vidattn.models.stam import Stam
from vidattn.models.timesformer import SCHEMES, SelfAttention, TimeSformer

T, SIDE = 4, 4  # of the clips of `tiny`: 4 frames of 4 x 4 patches
PATCHES = T * SIDE * SIDE


def stam() -> Stam:
    torch.manual_seed(0)
    shape = {"classes": 5, "frames": 4, "size": 64, "width": 32, "depth": 2, "heads": 2}
    model = Stam(StamConfig(**shape, time_depth=2, time_heads=4, time_hidden=48)).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return model


class Watched:
    """Every attention matrix [R, heads, N, N] of a forward pass, in order, with gradients."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[Tensor] = []

        def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            scores = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
            self.seen.append(scores)
            return scores @ v

        monkeypatch.setattr(timesformer, "attention", attention)


def number(t: int, h: int, w: int) -> int:
    """Of a patch among all tokens; the class token is 0."""
    return 1 + (t * SIDE + h) * SIDE + w


def groups(name: str) -> list[list[int]]:
    """The patches that meet in a step, row by row, in the order of its rows."""
    frames, places = range(T), range(SIDE)
    if name == "time":
        return [[number(t, h, w) for t in frames] for h, w in product(places, places)]
    if name == "space":
        return [[number(t, h, w) for h, w in product(places, places)] for t in frames]
    if name == "joint":
        return [[*range(1, 1 + PATCHES)]]
    if name == "width":
        return [[number(t, h, w) for w in places] for t, h in product(frames, places)]
    if name == "height":
        return [[number(t, h, w) for h in places] for t, w in product(frames, places)]
    if name == "local":
        halves = [range(2), range(2, 4)]
        return [[number(*at) for at in product(frames, a, b)] for a, b in product(halves, halves)]
    strides = [range(0, 4, 2), range(1, 4, 2)]
    return [[number(*at) for at in product(a, b, c)] for a, b, c in product(*[strides] * 3)]


def dense(step: Any, attention: Tensor) -> Tensor:
    """The map [N, N] of a step from its matrices [R, n, n], the mean over heads."""
    whole = torch.zeros(1 + PATCHES, 1 + PATCHES)
    rows = groups(step.name)
    for members, matrix in zip(rows, attention, strict=True):
        tokens = [0, *members] if step.cls else members
        for a, i in enumerate(tokens):
            for b, j in enumerate(tokens):
                whole[i, j] += matrix[a, b] / (len(rows) if i == 0 else 1)
    return whole


def stages(model: TimeSformer, maps: list[Tensor]) -> list[list[tuple[Any, Tensor]]]:
    """The maps of the steps of all blocks; those that see the same tokens together."""
    found, left = [], iter(maps)
    for block in model.blocks:
        steps = [(step.spec, dense(step.spec, next(left))) for step in block.steps.values()]
        found += [steps] if block.parallel else [[step] for step in steps]
    return found


VARIANTS = [
    *({"attention": name} for name in SCHEMES if name != "space"),
    *({"order": order} for order in ("space-time", "parallel")),
]


def named(change: dict[str, str]) -> str:
    return "".join(change.values())


@pytest.mark.parametrize("change", VARIANTS, ids=named)
@torch.no_grad()
def test_rollout_is_the_product_of_the_dense_maps(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, model = Watched(monkeypatch), tiny(**change)
    model(clip())
    whole = torch.eye(1 + PATCHES)
    for steps in stages(model, [a.mean(1) for a in watched.seen]):
        branches = 1 + sum((m.sum(1) > 0).float() for _, m in steps)
        whole = (torch.eye(1 + PATCHES) + sum(m for _, m in steps)) / branches[:, None] @ whole
    torch.testing.assert_close(whole.sum(1), torch.ones(1 + PATCHES))
    found = rollout(model, clip())
    torch.testing.assert_close(found.patches.flatten(), whole[0, 1:], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.cls, whole[0, :1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("change", VARIANTS, ids=named)
def test_relevance_is_made_of_the_dense_maps_and_their_gradients(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, model = Watched(monkeypatch), tiny(**change)
    logit = model(clip())[0, 3]
    slopes = torch.autograd.grad(logit, watched.seen)
    pairs = zip(watched.seen, slopes, strict=True)
    maps = [(a * g).clamp(min=0).mean(1).detach() for a, g in pairs]
    whole = torch.eye(1 + PATCHES)
    for steps in stages(model, maps):
        whole = whole + sum(m for _, m in steps) @ whole
    found = relevance(model, clip(), torch.tensor([3]))
    torch.testing.assert_close(found.patches.flatten(), whole[0, 1:], rtol=1e-3, atol=1e-7)


@torch.no_grad()
def test_frames_that_never_meet_share_the_class_token_evenly() -> None:
    model, film = tiny("space"), clip()
    found = rollout(model, film)
    for t in range(T):
        alone = rollout(model, film[:, :, t : t + 1])
        torch.testing.assert_close(found.patches[:, t] * T, alone.patches[:, 0])


@torch.no_grad()
def test_stam_follows_the_frames_first_and_then_each_frame() -> None:
    model, film = stam(), clip()
    found = rollout(model, film)
    images = tiny("space", width=32, depth=2)
    for block, other in zip(images.blocks, model.blocks, strict=True):
        step = block.steps["space"]
        step.attn.load_state_dict(other.attn.state_dict())
        for mine, its in ((step.norm, other.attn_norm), (block.norm, other.mlp_norm)):
            mine.load_state_dict(its.state_dict())
            mine.eps = its.eps
        block.mlp.load_state_dict(other.mlp.state_dict())
    for name in ("patch", "cls", "cls_pos", "pos"):
        setattr(images, name, getattr(model, name))
    weight = torch.eye(1 + T)
    cls, x = model.add_class_token(model.encode_frames(film[0].transpose(0, 1))[None])
    x = torch.cat([cls[:, None], x], 1)
    for layer in model.over_time.layers:
        _, a = layer.self_attn(x, x, x, need_weights=True)
        weight = (a[0] + torch.eye(1 + T)) / 2 @ weight
        x = layer(x)
    for t in range(T):
        alone = rollout(images, film[:, :, t : t + 1])
        expected = weight[0, 1 + t] * alone.patches[0, 0]
        torch.testing.assert_close(found.patches[0, t], expected, rtol=1e-4, atol=1e-7)
    assert found.patches.sum() + found.cls == pytest.approx(1, abs=1e-5)


ALL = {**{name: lambda name=name: tiny(name) for name in SCHEMES}, "stam": stam}


@pytest.mark.parametrize("name", ALL)
def test_shares_sum_to_one_and_a_clip_does_not_see_its_batch(name: str) -> None:
    model, film = ALL[name](), clip(2, 3, 4, 64, 64)
    found = rollout(model, film)
    assert found.patches.shape == (2, T, SIDE, SIDE)
    sums = found.patches.sum((1, 2, 3)) + found.cls
    torch.testing.assert_close(sums, torch.ones(2))
    classes = torch.tensor([1, 4])
    for one in (rollout, lambda m, c: relevance(m, c, classes[: len(c)])):
        both, first = one(model, film).patches, one(model, film[:1]).patches
        torch.testing.assert_close(both[:1], first, rtol=1e-4, atol=1e-7)
    other = relevance(model, film, torch.tensor([2, 4])).patches
    assert not torch.allclose(other[0], relevance(model, film, classes).patches[0])
    assert (other >= 0).all()


@pytest.mark.parametrize("name", ["divided", "joint"])
def test_small_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, film = tiny(name), clip()
    before = rollout(model, film).patches, relevance(model, film, torch.tensor([1])).patches
    monkeypatch.setattr(rollouts, "MAX_ENTRIES", 300)
    torch.testing.assert_close(rollout(model, film).patches, before[0])
    torch.testing.assert_close(relevance(model, film, torch.tensor([1])).patches, before[1])


def test_looking_leaves_the_model_as_it_was() -> None:
    model = tiny().requires_grad_(True)
    relevance(model, clip(), torch.tensor([0]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())


def test_attention_that_is_the_same_everywhere_has_known_shares() -> None:
    """By hand: a block in which every token looks at all others equally."""
    model = tiny(depth=1)
    for module in model.modules():
        if isinstance(module, SelfAttention):
            nn.init.zeros_(module.qkv.weight)
            nn.init.zeros_(module.qkv.bias)
    found = rollout(model, clip())
    # The class token: half itself, half the mean over a frame's 16 patches and its own copy.
    torch.testing.assert_close(found.cls, torch.tensor([0.5 + 0.5 / 17]))
    torch.testing.assert_close(
        found.patches, torch.full((1, T, SIDE, SIDE), 0.5 / 17 / T), rtol=1e-5, atol=0
    )
    assert F.relu(found.patches).equal(found.patches)
