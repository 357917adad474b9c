"""The overlap of windows that is chosen where none is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import vidattn
from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig
from vidattn.data.windowing import Windowing
from vidattn.inference.window_scoring import choose_overlap, resolve_overlap
from vidattn.models.classifier import Classifier
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.video import MemoryVideo

BASE = ClipConfig(frames=8, step_seconds=32 / 30)


def classifier(config: TimeSformerConfig | StamConfig, clip: ClipConfig = BASE) -> Classifier:
    """A model without weights; only its shape counts."""
    with torch.device("meta"):
        stam = isinstance(config, StamConfig)
        model: nn.Module = Stam(config) if stam else TimeSformer(config)  # type: ignore[arg-type]
    return Classifier(model, clip, tuple(map(str, range(config.classes))))


def test_windows_of_a_model_that_costs_little_overlap() -> None:
    assert choose_overlap(vidattn.load("motion-tiny")) == 0.75


def test_windows_of_a_large_model_lie_side_by_side() -> None:
    assert choose_overlap(classifier(TimeSformerConfig())) == 0


@pytest.mark.parametrize("config", [TimeSformerConfig(attention="space"), StamConfig()])
def test_windows_of_a_large_model_whose_frames_are_shared_overlap(config: Any) -> None:
    large = classifier(config, replace(BASE, frames=config.frames))
    assert choose_overlap(large) == 0.75
    assert choose_overlap(large, frames=config.frames + 1) == 0  # no two windows share frames


def test_what_is_asked_for_stands() -> None:
    tiny = vidattn.load("motion-tiny")
    for asked in (Windowing(overlap=0.0), Windowing(overlap=0.5), Windowing(stride=2.0)):
        assert resolve_overlap(asked, tiny) == asked
    assert resolve_overlap(Windowing(start=1.0), tiny) == Windowing(overlap=0.75, start=1.0)


def test_the_chosen_overlap_is_named_in_the_settings() -> None:
    tiny, video = (
        vidattn.load("motion-tiny"),
        MemoryVideo(torch.zeros(48, 64, 64, 3).byte().numpy()),
    )
    settings = vidattn.segment(video, tiny).to_dict()["settings"]
    assert (settings["stride_seconds"], settings["chosen_overlap"]) == (0.25, 0.75)
    assert "chosen_overlap" not in vidattn.segment(video, tiny, overlap=0.75).to_dict()["settings"]
