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
from vidattn import weights
from vidattn.data.frames import view_clips
from vidattn.data.transforms import eval_clip
from vidattn.errors import UsageError, WeightsError
from vidattn.inference.embed import describe_embedding
from vidattn.inference.scorer import Scorer
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.hf import HfModel
from vidattn.types import View
from vidattn.video import open_video

transformers = pytest.importorskip("transformers")

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "num_frames": 4,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "timesformer": ("TimesformerConfig", SMALL | {"patch_size": 16}),
    "videomae": ("VideoMAEConfig", SMALL | {"patch_size": 16, "tubelet_size": 2}),
    "vivit": ("VivitConfig", SMALL | {"tubelet_size": [2, 16, 16]}),
    "vjepa2": (
        "VJEPA2Config",
        {
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "mlp_ratio": 2,
            "crop_size": 32,
            "patch_size": 16,
            "frames_per_clip": 4,
            "pred_hidden_size": 48,
            "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
            "num_pooler_layers": 1,
        },
    ),
}
"""The published shapes, but small: two layers, and clips of 4 x 32 x 32 in patches of 16."""
PROCESSORS = {
    "timesformer": "VideoMAEImageProcessor",
    "videomae": "VideoMAEImageProcessor",
    "vivit": "VivitImageProcessor",
    "vjepa2": "VJEPA2VideoProcessor",
}
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


def save(folder: Path, kind: str, *, processor: bool = True, classes: int = 3, **more: Any) -> Path:
    """A folder of a random model, as `save_pretrained` of it and its processor leaves it."""
    name, settings = CONFIGS[kind]
    config = getattr(transformers, name)(
        **settings | more, id2label={i: f"name {i}" for i in range(classes)}
    )
    torch.manual_seed(0)
    network = transformers.AutoModelForVideoClassification.from_config(config)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    network.save_pretrained(folder)
    if processor:
        sides = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
        getattr(transformers, PROCESSORS[kind])(**sides).save_pretrained(folder)
    return folder


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
    folder = save(tmp_path / "hf", kind)
    classifier = weights.load(f"hf:{folder}", frame_step=0.1)
    frames = frames_of(classifier)
    (logits,) = Scorer(classifier, Runtime(device="cpu"))([eval_clip(frames, classifier.clip)])
    expected = theirs(folder, frames)
    torch.testing.assert_close(classifier.scores(logits[None])[None], expected, rtol=0, atol=1e-5)
    assert classifier.labels == ("name 0", "name 1", "name 2")
    assert classifier.clip.step_seconds == 0.1
    assert len(classifier.card.sha256) == 64


@pytest.mark.filterwarnings("ignore")
def test_a_folder_without_a_processor_gets_the_published_preprocessing(
    kind: str, tmp_path: Path
) -> None:
    bare = weights.load(f"hf:{save(tmp_path / 'bare', kind, processor=False)}", frame_step=0.1)
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
    own = save(tmp_path / "own", kind)
    with pytest.raises(WeightsError, match="do not say how far apart") as caught:
        weights.load(f"hf:{own}")
    assert "--frame-step" in (caught.value.hint or "")
    published = weights.load(f"hf:{save(tmp_path / 'hf', kind, classes=CLASSES[kind])}")
    steps = {"timesformer": 32 / 30, "videomae": 4 / 30, "vivit": 2 / 25, "vjepa2": 4 / 12}
    assert published.clip.step_seconds == steps[kind]
    assert [note for note in published.card.notes if "--frame-step says otherwise" in note]
    with pytest.raises(UsageError, match="frame step must be > 0"):
        weights.load(f"hf:{own}", frame_step=0.0)


def test_windows_embeddings_and_explanations_come_as_of_other_models(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=1.0)
    classifier = weights.load(f"hf:{save(tmp_path / 'hf', 'videomae')}", frame_step=0.1)
    *_, done = vidattn.stream(video, classifier, overlap=0, embeddings=True)
    assert done.timeline.scores.shape == (3, 3)
    assert done.embeddings.shape == (3, 32)
    with open_video(video, short_side=classifier.clip.short_side) as opened:
        (clip,) = view_clips(opened, [View((0, 3, 6, 9))], classifier.clip)
    assert clip is not None
    scorer = Scorer(classifier, Runtime(), embeddings=True)
    (both,) = scorer.classify_frames([clip.transpose(0, 1)])
    with torch.inference_mode():
        torch.testing.assert_close(classifier.model.head(both[3:]), both[:3], rtol=0, atol=1e-5)
        vectors = classifier.model.embeddings(clip[None])
        torch.testing.assert_close(vectors[0], both[3:], rtol=0, atol=1e-5)
    assert describe_embedding(classifier)["model"]["kind"] == "videomae"
    with pytest.raises(UsageError, match="HfModel cannot be explained by relevance"):
        vidattn.explain(video, classifier, at=0.5)
    explanation = vidattn.explain(video, classifier, at=0.5, method="occlusion")
    assert explanation.patches.shape == (4, 2, 2)
    assert explanation.patches.sum() == pytest.approx(1)


def test_other_lengths_are_refused_unless_positions_fit_them(tmp_path: Path) -> None:
    clips = torch.randn(1, 3, 6, 32, 32)
    fixed = weights.load(f"hf:{save(tmp_path / 'fixed', 'videomae')}", frame_step=0.1).model
    with pytest.raises(UsageError, match="takes clips of 4 frames, not of 6"):
        fixed(clips)
    free = weights.load(f"hf:{save(tmp_path / 'free', 'vjepa2')}", frame_step=0.1).model
    assert free(clips).shape == (1, 3)


def test_such_a_model_stays_in_its_folder(tmp_path: Path) -> None:
    classifier = weights.load(f"hf:{save(tmp_path / 'hf', 'vivit')}", frame_step=0.1)
    assert isinstance(classifier.model, HfModel)
    with pytest.raises(WeightsError, match="stays in its own folder"):
        weights.save(classifier, tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"hidden_size": 4096, "num_attention_heads": 2}, "more than its files hold"),
        ({"num_hidden_layers": 3}, "differences to the model: missing"),
        ({"num_hidden_layers": 10**9}, "absurdly large"),
        ({"model_type": "nosuch", "auto_map": {"AutoConfig": "evil.Config"}}, "not for video"),
        ({"problem_type": "multi_label_classification"}, "problem_type"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = save(tmp_path / "hf", "videomae")
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
    named = f"hf:{save(tmp_path / 'hf', 'videomae')}"
    described = quick("models", "info", named, "--frame-step", 0.1).stdout
    assert "kind videomae, classes 3, frames 4, size 32, patch 16" in described
    assert "valid, sha256" in quick("models", "verify", named, "--frame-step", 0.1).stdout
    failed = quick("models", "verify", named, code=3)
    assert "hint: give the seconds as in training: --frame-step" in failed.stderr
