"""Sharing what views have in common changes no score, and every frame is looked at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig, ViewConfig
from vidattn.data.frames import FrameBuffer, view_clips
from vidattn.inference import stream
from vidattn.inference.feature_cache import FeatureCache
from vidattn.inference.scorer import Scorer
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.types import View
from vidattn.video import MemoryVideo

CLIP = ClipConfig(frames=4, step_seconds=0.2, short_side=32, crop=32)
CPU = Runtime(device="cpu", batch_size=3)
SMALL = {"classes": 3, "frames": 4, "size": 32, "width": 32, "depth": 2, "heads": 2}
MODELS = {
    "stam": lambda: Stam(StamConfig(**SMALL, time_depth=1, time_heads=2, time_hidden=64)),  # type: ignore[arg-type]
    "space": lambda: TimeSformer(TimeSformerConfig("space", **SMALL)),  # type: ignore[arg-type]
    "divided": lambda: TimeSformer(TimeSformerConfig("divided", **SMALL)),  # type: ignore[arg-type]
}


@pytest.fixture(params=MODELS)
def classifier(request: pytest.FixtureRequest) -> Classifier:
    torch.manual_seed(0)
    model = MODELS[request.param]().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Classifier(model, CLIP, ("a", "b", "c"))


@pytest.fixture
def video() -> MemoryVideo:
    noise = np.random.default_rng(0).integers(0, 256, (60, 32, 48, 3), np.uint8)
    return MemoryVideo(noise, fps=20)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_scores_are_those_of_clips_seen_one_by_one(
    classifier: Classifier, video: MemoryVideo, overlap: float
) -> None:
    events = list(stream.stream(video, classifier, overlap=overlap, runtime=CPU))
    scored = [event for event in events if isinstance(event, stream.Scored)]
    starts = [event.window.start for event in scored]
    centres = [[s + 0.2 * (k + 0.5) for k in range(4)] for s in starts]
    views = [View(tuple(min(int(t * 20 + 1e-6), 59) for t in times)) for times in centres]
    for event, clip in zip(scored, view_clips(video, views, CLIP), strict=True):
        assert clip is not None
        with torch.inference_mode():
            plain = classifier.model(clip[None]).softmax(-1)[0]
        np.testing.assert_allclose(event.scores, plain.numpy(), rtol=0, atol=1e-6)


def test_three_crops_are_those_of_clips_seen_one_by_one(
    classifier: Classifier, video: MemoryVideo
) -> None:
    views = ViewConfig(spatial=3, clips=1)
    found = stream.classify(video, classifier, sampling="dense", views=views, runtime=CPU)
    seen = tuple(int(t * 20) for t in 1.1 + 0.2 * (np.arange(4) + 0.5))
    shown = [View(seen, crop) for crop in ("start", "center", "stop")]
    clips = [clip for clip in view_clips(video, shown, CLIP) if clip is not None]
    with torch.inference_mode():
        plain = classifier.scores(classifier.model(torch.stack(clips)))
    np.testing.assert_allclose(found.scores[0], plain.numpy(), rtol=0, atol=1e-6)


def test_every_frame_is_looked_at_once_and_forgotten(
    classifier: Classifier, video: MemoryVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0
    plain = Scorer.encode_frames

    def counted(self: Scorer, frames: list[torch.Tensor]) -> list[torch.Tensor]:
        nonlocal looked
        looked += len(frames)
        return plain(self, frames)

    monkeypatch.setattr(Scorer, "encode_frames", counted)
    viewer = FeatureCache(FrameBuffer(video.stream(range(60))), CLIP, Scorer(classifier, CPU))
    for first in range(0, 50, 2):
        viewer.advance(first, first + 7)
        (logits,) = viewer([View(tuple(range(first, first + 8, 2)))])
        assert logits is not None
        assert len(viewer._tokens) <= 4
    assert looked == 28
