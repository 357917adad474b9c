"""Numbers at their limits: what is defined has a test, what is not is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vidattn
from tests.cli.test_train_and_eval import TINY
from tests.helpers import Run
from vidattn import weights
from vidattn.config import ClipConfig
from vidattn.errors import VideoError
from vidattn.models.classifier import Classifier
from vidattn.training.checkpoint import load_state
from vidattn.training.run_dir import checkpoints
from vidattn.video import MemoryVideo


class Says(nn.Module):
    """A model with the same logits for every clip."""

    def __init__(self, logits: list[float], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits, dtype=dtype))

    def forward(self, clips: Tensor) -> Tensor:
        return self.logits.expand(len(clips), -1) + 0 * clips.mean().to(self.logits.dtype)


def classifier(logits: list[float], **changes: object) -> Classifier:
    labels = tuple(f"class {i}" for i in range(len(logits)))
    clip = ClipConfig(frames=4, step_seconds=0.125, short_side=32, crop=32)
    return Classifier(Says(logits), clip, labels, **changes)  # type: ignore[arg-type]


@pytest.fixture
def frames() -> MemoryVideo:
    """Four seconds."""
    return MemoryVideo(np.full((40, 32, 48, 3), 99, np.uint8), fps=10)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("act", [vidattn.segment, vidattn.classify])
def test_outputs_that_are_not_finite_are_errors(
    act: object, bad: float, frames: MemoryVideo
) -> None:
    assert callable(act)
    with pytest.raises(
        VideoError, match=f"^{frames.path}: the model's output is not finite"
    ) as caught:
        act(frames, classifier([0.0, bad, 1.0]))
    assert caught.value.code == "E_NONFINITE"
    assert "fp32" in (caught.value.hint or "")


@pytest.mark.parametrize("averaging", ["logit", "probability"])
def test_logits_at_the_end_of_their_range_still_give_scores(
    averaging: str, frames: MemoryVideo
) -> None:
    timeline = vidattn.classify(frames, classifier([-3e38, 0.0, 1e38], averaging=averaging))
    assert timeline.scores.tolist() == [[0.0, 0.0, 1.0]]
    assert timeline.segments[0].label == "class 2"


def test_scores_that_cannot_be_computed_are_refused(frames: MemoryVideo) -> None:
    views = vidattn.ViewConfig(1, 4)
    with pytest.raises(VideoError, match="scores are not finite") as caught:
        vidattn.classify(frames, classifier([3e38, -3e38, 3e38]), views=views, sampling="dense")
    assert caught.value.code == "E_NONFINITE"


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, 1e3, 1e30])
def test_any_temperature_gives_probabilities(temperature: float, frames: MemoryVideo) -> None:
    timeline = vidattn.classify(frames, classifier([0.0, 80.0, -80.0], temperature=temperature))
    assert timeline.scores.sum() == pytest.approx(1, abs=1e-6)
    assert timeline.scores.argmax() == 1 or temperature >= 1e30


@pytest.mark.parametrize("smooth", ["none", "median", "mean", "viterbi"])
def test_equal_scores_go_to_the_first_label_everywhere(smooth: str, frames: MemoryVideo) -> None:
    decoding = vidattn.Decoding(smooth=smooth)  # type: ignore[arg-type]
    timeline = vidattn.segment(frames, classifier([0.5, 0.5, 0.5]), decoding=decoding, overlap=0.5)
    assert [segment.label for segment in timeline.segments] == ["class 0"]
    assert timeline.segments[0].score == pytest.approx(1 / 3, abs=1e-5)
    assert [label for label, _ in timeline.segments[0].alternatives] == ["class 1", "class 2"]
    assert vidattn.Timeline.from_json(timeline.to_json()).segments == timeline.segments


def test_a_single_class_is_certain(frames: MemoryVideo) -> None:
    timeline = vidattn.segment(frames, classifier([-7.0]))
    assert (timeline.scores == 1).all()
    assert [segment.label for segment in timeline.segments] == ["class 0"]
    assert vidattn.classify(frames, classifier([-7.0])).segments[0].score == 1


def test_low_precision_that_overflows_is_named_and_full_precision_works(
    frames: MemoryVideo,
) -> None:
    class Large(Says):
        def forward(self, clips: Tensor) -> Tensor:
            logits: Tensor = super().forward(clips)
            if torch.is_autocast_enabled("cpu"):
                return (logits * 1e30).to(torch.bfloat16) * 1e30
            return logits

    large = classifier([1.0, 2.0])
    large.model = Large([1.0, 2.0])
    low = vidattn.Runtime(precision="bf16")
    with pytest.raises(VideoError, match="not finite") as caught:
        vidattn.classify(frames, large, runtime=low)
    assert caught.value.code == "E_NONFINITE"
    timeline = vidattn.classify(frames, large, runtime=vidattn.Runtime(precision="fp32"))
    assert np.isfinite(timeline.scores).all()


def test_no_file_contains_a_nan(frames: MemoryVideo) -> None:
    text = vidattn.segment(frames, classifier([0.0, 1.0])).to_json(run=True)
    assert "NaN" not in text
    assert "Infinity" not in text


def test_commands_name_nan_models(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    large = vidattn.load(model)
    large.model.get_parameter("head.weight").data.fill_(3e38)
    bad = weights.save(large, tmp_path / "large.safetensors")
    done = quick("segment", video, "-m", bad, "-o", "out", "--skip-existing", code=None)
    assert done.returncode in (3, 4), done.stderr
    (row,) = map(json.loads, (tmp_path / "out" / "failures.jsonl").read_text().splitlines())
    assert (row["path"], row["code"]) == (str(video), "E_NONFINITE")
    assert not list((tmp_path / "out").glob("*.json"))
    done = quick("classify", video, "-m", bad, "--json", code=3)
    assert done.stderr.startswith(f"error: {video}: the model's output is not finite")
    assert "NaN" not in done.stdout


def test_a_diverging_run_ends_with_its_code_and_finite_checkpoints(
    quick: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vidattn.data.motion.dataset.TEXTURES_PER_EPOCH", 2)
    steep = ["--set", "optim.lr=1e30", "--set", "optim.warmup_epochs=0", "--set", "optim.ema=0"]
    words = ["--dataset", "motion", *TINY, *steep, "--save-every", "1", "--run-dir", "run"]
    done = quick("train", *words, code=8)
    assert done.stderr.splitlines()[-2].startswith("error: the loss is ")
    assert "lower learning rate" in done.stderr.splitlines()[-1]
    snapshots = checkpoints(tmp_path / "run")
    assert snapshots
    for path in snapshots:
        tensors, _ = load_state(path)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    assert not (tmp_path / "run" / "model.safetensors").exists()
