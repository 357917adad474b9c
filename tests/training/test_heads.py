"""Heads fitted to embeddings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidattn.config import Activation, FlowConfig, TaughtConfig
from vidattn.models.taught import KernelHead, PooledTokens, chi_square
from vidattn.training import heads
from vidattn.training.heads import HeadChoice, TrainingWindows, apply_head, fit_head, list_choices

SHAPE = (2, 1, 6)
CONFIG = TaughtConfig(classes=3, pieces=2, frames=4, grid=0)


def windows(count: int = 60, activation: Activation = "softmax") -> TrainingWindows:
    """Classes that a linear head tells apart."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.eye(3)[torch.arange(count) % 3]
    vectors = truth @ torch.randn(3, 12, generator=generator)
    vectors = 3 * vectors + torch.randn(count, 12, generator=generator)
    return TrainingWindows(vectors, truth, torch.ones(count), activation)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_every_head_learns_what_is_easy(activation: Activation) -> None:
    data = windows(activation=activation)
    choices = list_choices(CONFIG, len(data.vectors))
    assert {choice.head for choice in choices} == {"linear", "neighbors"}
    for choice in choices:
        head = fit_head(choice, choice.configure(CONFIG, 60), SHAPE, data)
        right = apply_head(head, data.vectors).argmax(1) == data.truth.argmax(1).numpy()
        assert right.mean() > 0.9, choice


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_histograms_are_told_apart_by_a_kernel_too(activation: Activation) -> None:
    plain = windows(activation=activation)
    # Class 0 moves in the first or in the second cell, as no linear head can know; the others in
    # both, in other shares.
    shares = torch.tensor([[1.0, 0, 1], [0, 1.0, 1], [0.4, 0.6, 1], [0.8, 0.2, 1]]).repeat(15, 1)
    speed = torch.linspace(0.5, 2, 60)[:, None]  # which does not count
    classes = torch.tensor([0, 0, 1, 2]).repeat(15)
    data = replace(plain, vectors=speed * shares, truth=torch.eye(3)[classes])
    config = replace(CONFIG, backbone=FlowConfig(), pieces=1)
    choice = next(one for one in list_choices(config, 60) if one.head == "kernel")
    assert not any(one.head == "kernel" for one in list_choices(CONFIG, 60))
    assert not any(one.head == "kernel" for one in list_choices(config, heads.MOST_SPANNED + 1))
    head = fit_head(choice, choice.configure(config, 60), (1, 1, 3), data)
    assert isinstance(head, KernelHead)
    assert (apply_head(head, data.vectors).argmax(1) == classes.numpy()).all()
    by_hand = sum((a - b) ** 2 / (a + b) for a, b in ((0.5, 0.2), (0, 0.3), (0.5, 0.5)))
    found = chi_square(torch.tensor([[0.5, 0, 0.5]]), torch.tensor([[0.2, 0.3, 0.5]]))
    assert float(found) == pytest.approx(by_hand)


def test_logistic_regression_finds_the_minimum() -> None:
    data, choice = windows(), HeadChoice("linear", (1, 2), 10.0)
    config = choice.configure(CONFIG, 60)
    head = fit_head(choice, config, SHAPE, data)
    x = PooledTokens(config, SHAPE)(data.vectors)
    mean, deviation = x.mean(0), x.std(0, correction=0)
    weight = (head.linear.weight * deviation * x.shape[1] ** 0.5).detach().requires_grad_()
    bias = (head.linear.bias + head.linear.weight @ mean).detach().requires_grad_()
    z = (x - mean) / deviation / x.shape[1] ** 0.5
    loss = data.loss(z @ weight.T + bias) + 0.5 / (10.0 * 60) * weight.square().sum()
    loss.backward()
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-4


def test_the_span_of_few_windows_gives_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    data, choice = windows(9), HeadChoice("linear", (1, 2), 10.0)
    config = choice.configure(CONFIG, 9)
    fast = apply_head(fit_head(choice, config, SHAPE, data), data.vectors)
    monkeypatch.setattr(heads, "MOST_SPANNED", 0)
    slow = apply_head(fit_head(choice, config, SHAPE, data), data.vectors)
    np.testing.assert_allclose(fast, slow, atol=2e-3)


def test_a_rare_label_weighs_more_when_balanced() -> None:
    truth = torch.eye(2)[torch.tensor([0] * 9 + [1])]
    plain = TrainingWindows(torch.zeros(10, 2), truth, torch.ones(10))
    logits = torch.zeros(10, 2)
    logits[9] = torch.tensor([2.0, 0.0])
    assert replace(plain, balance=True).loss(logits) > plain.loss(logits)
    several = replace(plain, activation="sigmoid")
    assert replace(several, balance=True).loss(logits) > several.loss(logits)


@pytest.mark.slow
def test_a_hundred_thousand_windows_fit_into_memory() -> None:
    resource = pytest.importorskip("resource")
    generator = torch.Generator().manual_seed(0)
    truth = torch.eye(10)[torch.arange(100_000) % 10]
    vectors = torch.randn(100_000, 768, generator=generator) + truth @ torch.randn(10, 768)
    data = TrainingWindows(vectors, truth, torch.ones(100_000))
    choice = HeadChoice("linear", (1,), 10.0)
    head = fit_head(choice, replace(CONFIG, classes=10, pieces=1), (1, 1, 768), data)
    assert (apply_head(head, vectors).argmax(1) == truth.argmax(1).numpy()).mean() > 0.9
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # kilobytes
