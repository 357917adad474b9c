"""Models of Hugging Face transformers behind `hf:`, beside transformers' own pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vidattn
from tests.helpers import Run, write_video
from tests.weights.networks import CONFIGS, PROCESSORS, save_network
from vidattn import weights
from vidattn.data.frames import view_clips
from vidattn.data.transforms import eval_clip
from vidattn.errors import UsageError, WeightsError
from vidattn.inference.embed import describe_embedding
from vidattn.inference.scorer import Scorer
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.foreign import HfModel
from vidattn.types import View
from vidattn.video import open_video

transformers = pytest.importorskip("transformers")

CLASSES = {"timesformer": 400, "videomae": 400, "vivit": 400, "vjepa2": 174}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    log = transformers.utils.logging
    log.disable_progress_bar()
    yield
    log.enable_progress_bar()


@pytest.fixture(params=CONFIGS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def frames_of(classifier: Classifier) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random frames of the size that a reader returns."""
    side = classifier.clip.short_side
    random = np.random.default_rng(0)
    return random.integers(0, 256, (classifier.clip.frames, side, side + 12, 3), np.uint8)


def theirs(folder: Path, frames: np.ndarray[Any, Any]) -> torch.Tensor:
    """Probabilities of the processor and the model in a folder, as transformers loads them."""
    network = transformers.AutoModelForVideoClassification.from_pretrained(folder).eval()
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        inputs = processor(list(frames), return_tensors="pt")
    except (ValueError, OSError):
        inputs = transformers.AutoVideoProcessor.from_pretrained(folder)(
            frames, return_tensors="pt"
        )
    with torch.no_grad():
        return network(**inputs).logits.softmax(-1)


@pytest.mark.filterwarnings("ignore")
def test_a_folder_scores_frames_as_transformers_does(kind: str, tmp_path: Path) -> None:
    folder = save_network(tmp_path / "hf", kind)
    classifier = weights.load(f"hf:{folder}", frame_step=0.1)
    frames = frames_of(classifier)
    (logits,) = Scorer(classifier, Runtime(device="cpu"))([eval_clip(frames, classifier.clip)])
    expected = theirs(folder, frames)
    torch.testing.assert_close(classifier.scores(logits[None])[None], expected, rtol=0, atol=1e-5)
    assert classifier.labels == ("name 0", "name 1", "name 2")
    assert (classifier.clip.step_seconds, len(classifier.card.sha256)) == (0.1, 64)


@pytest.mark.filterwarnings("ignore")
def test_a_folder_without_a_processor_gets_the_published_preprocessing(
    kind: str, tmp_path: Path
) -> None:
    bare = weights.load(
        f"hf:{save_network(tmp_path / 'bare', kind, processor=False)}", frame_step=0.1
    )
    assert [note for note in bare.card.notes if "as for published models" in note]
    published = getattr(transformers, PROCESSORS[kind])()
    share = published.size["shortest_edge"] / published.crop_size["height"]
    assert (bare.clip.crop, bare.clip.short_side) == (32, int(32 * share))
    if kind in ("vivit", "vjepa2"):  # whose defaults are those of the published weights
        offset = 1.0 if kind == "vivit" else 0.0
        factor = 255 * published.rescale_factor
        mean = [(offset + value) / factor for value in published.image_mean]
        np.testing.assert_allclose(bare.clip.mean, mean, atol=1e-6)
        np.testing.assert_allclose(bare.clip.std, np.array(published.image_std) / factor, atol=1e-6)


def test_the_frame_step_is_known_or_asked_for(kind: str, tmp_path: Path) -> None:
    own = save_network(tmp_path / "own", kind)
    with pytest.raises(WeightsError, match="do not say how far apart") as caught:
        weights.load(f"hf:{own}")
    assert "--frame-step" in (caught.value.hint or "")
    published = weights.load(f"hf:{save_network(tmp_path / 'hf', kind, classes=CLASSES[kind])}")
    steps = {"timesformer": 32 / 30, "videomae": 4 / 30, "vivit": 2 / 25, "vjepa2": 4 / 12}
    assert published.clip.step_seconds == steps[kind]
    assert [note for note in published.card.notes if "--frame-step says otherwise" in note]
    with pytest.raises(UsageError, match="frame step must be > 0"):
        weights.load(f"hf:{own}", frame_step=0.0)


def test_windows_embeddings_and_explanations_come_as_of_other_models(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=1.0)
    classifier = weights.load(f"hf:{save_network(tmp_path / 'hf', 'videomae')}", frame_step=0.1)
    *_, done = vidattn.stream(video, classifier, overlap=0, embeddings=True)
    assert done.timeline.scores.shape == (3, 3)
    assert done.embeddings.shape == (3, 32)
    with open_video(video, short_side=classifier.clip.short_side) as opened:
        (clip,) = view_clips(opened, [View((0, 3, 6, 9))], classifier.clip)
    (both,) = Scorer(classifier, Runtime(), embeddings=True).classify_frames([clip.transpose(0, 1)])
    with torch.inference_mode():
        torch.testing.assert_close(classifier.model.head(both[3:]), both[:3], rtol=0, atol=1e-5)
        vectors = classifier.model.embeddings(clip[None])
        torch.testing.assert_close(vectors[0], both[3:], rtol=0, atol=1e-5)
    assert describe_embedding(classifier)["model"]["network"] == "videomae"
    with pytest.raises(UsageError, match="HfModel cannot be explained by relevance"):
        vidattn.explain(video, classifier, at=0.5)
    explanation = vidattn.explain(video, classifier, at=0.5, method="occlusion")
    assert explanation.patches.shape == (4, 2, 2)
    assert explanation.patches.sum() == pytest.approx(1)


def test_other_lengths_are_refused_unless_positions_fit_them(tmp_path: Path) -> None:
    clips = torch.randn(1, 3, 6, 32, 32)
    fixed = weights.load(f"hf:{save_network(tmp_path / 'fixed', 'videomae')}", frame_step=0.1).model
    with pytest.raises(UsageError, match="takes clips of 4 frames, not of 6"):
        fixed(clips)
    free = weights.load(f"hf:{save_network(tmp_path / 'free', 'vjepa2')}", frame_step=0.1).model
    assert free(clips).shape == (1, 3)


@torch.inference_mode()
def test_such_a_model_can_be_kept_in_a_weights_file(kind: str, tmp_path: Path) -> None:
    classifier = weights.load(f"hf:{save_network(tmp_path / 'hf', kind)}", frame_step=0.1)
    path = weights.save(classifier, tmp_path / "model.safetensors")
    assert str(tmp_path).encode() not in path.read_bytes()
    again = weights.load(path)
    clips = torch.randn(1, 3, 4, 32, 32)
    assert isinstance(again.model, HfModel)
    torch.testing.assert_close(again.model(clips), classifier.model(clips))
    assert (again.clip, again.labels) == (classifier.clip, classifier.labels)


def test_a_weights_file_of_an_unknown_network_is_refused(tmp_path: Path) -> None:
    classifier = weights.load(f"hf:{save_network(tmp_path / 'hf', 'videomae')}", frame_step=0.1)
    data = weights.save(classifier, tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data.replace(b"videomae", b"videonay"))
    with pytest.raises(WeightsError, match="no network of transformers"):
        weights.load(tmp_path / "model.safetensors")


def test_several_labels_at_once_have_a_probability_each(tmp_path: Path) -> None:
    several = {"problem_type": "multi_label_classification"}
    folder = save_network(tmp_path / "hf", "videomae", **several)
    classifier = weights.load(f"hf:{folder}", frame_step=0.1)
    timeline = vidattn.classify(write_video(tmp_path / "a.mp4", seconds=1.0), classifier)
    assert classifier.activation == "sigmoid"
    assert timeline.scores.sum() != pytest.approx(1)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"hidden_size": 4096, "num_attention_heads": 2}, "more than its files hold"),
        ({"num_hidden_layers": 3}, "differences to the model: missing"),
        ({"num_hidden_layers": 10**9}, "absurdly large"),
        ({"model_type": "nosuch", "auto_map": {"AutoConfig": "evil.Config"}}, "not for video"),
        ({"problem_type": "regression"}, "problem_type"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = save_network(tmp_path / "hf", "videomae")
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError) as caught:
        weights.load(f"hf:{folder}", frame_step=0.1)
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_names_are_folders_or_hub_ids_and_offline_is_offline() -> None:
    with pytest.raises(WeightsError, match="neither a folder nor a hub id"):
        weights.load("hf:nosuch")
    with pytest.raises(WeightsError, match="not downloaded yet, and offline"):
        weights.load("hf:owner/name", offline=True)


def test_a_folder_can_be_described_and_checked(tmp_path: Path, quick: Run) -> None:
    named = f"hf:{save_network(tmp_path / 'hf', 'videomae')}"
    described = quick("models", "info", named, "--frame-step", 0.1).stdout
    assert "network videomae, classes 3, frames 4, size 32, patch 16" in described
    assert "valid, sha256" in quick("models", "verify", named, "--frame-step", 0.1).stdout
    failed = quick("models", "verify", named, code=3)
    assert "hint: give the seconds as in training: --frame-step" in failed.stderr
