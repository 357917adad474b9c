"""Any model for video classification of Hugging Face transformers: `hf:OWNER/NAME`, `hf:FOLDER`.

transformers builds the network and reads its weights, as safetensors or as tensors of a pickle that
executes nothing; code beside the weights is never run. Labels, preprocessing and the frame step
become those of a classifier like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vidattn.config import Activation, Averaging, HfConfig
from vidattn.errors import WeightsError
from vidattn.io.files import is_folder, sha256, sha256_file
from vidattn.io.text import first_line
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.foreign import BROKEN, HfModel, load_transformers
from vidattn.weights import hf_folder
from vidattn.weights.convert import guess_frame_step
from vidattn.weights.safetensors_file import MAX_SETTING, refuse, require_finite

PREFIX = "hf:"
OWN = re.compile(r"_|(id2label|label2id|num_labels|problem_type|.*dtype|.*version|model_type)$")
"""Settings that say nothing of a network, or that a classifier has itself."""


@dataclass(frozen=True)
class Training:
    """How far apart frames were when published weights were trained."""

    seconds: float
    bins: bool = False
    """Whether they were spread over the whole video, however long."""
    averaging: Averaging = "probability"


RATES = {
    ("videomae", 400): Training(4 / 30),
    ("videomae", 174): Training(4 / 16, bins=True),
    ("vivit", 400): Training(2 / 25, averaging="logit"),
    ("vjepa2", 174): Training(4 / 12),
    ("vjepa2", 48): Training(2 / 30),
}
"""By type of model and number of classes. Sources: VideoMAE's scripts (one frame in 4 of Kinetics,
uniform sampling of some 4 s of Something-Something V2); ViViT's configuration (one frame in 2 of
videos of 25 fps); V-JEPA 2's configurations (one in 4 of 12 fps, one in 2 of Diving-48)."""


def load_hf_model(folder: Path, name: str, frame_step: float | None = None) -> Classifier:
    """The classifier in a folder that transformers can read. Needs the extra vidattn[hf].

    name: as the user gave it. frame_step: seconds between the frames of a clip in training, needed
    where neither the files nor RATES tell. Raises WeightsError.
    """
    plain = hf_folder.read_json(folder / "config.json")
    network, config = _build_network(folder, plain)
    labels, label_note = hf_folder.read_labels(plain, config.classes, folder)
    training, step_note = _find_training(config, frame_step, name)
    clip, clip_note = hf_folder.read_clip(
        folder, config.network, config.frames, config.size, training.seconds, bins=training.bins
    )
    if clip.crop != config.size:
        refuse(folder, f"frames are cropped to {clip.crop} pixels for a model of {config.size}")
    place = name.removeprefix(PREFIX)
    public = folder.name if is_folder(place) else place  # paths are nobody else's business
    card = ModelCard(
        name=public,
        license=hf_folder.read_license(folder),
        source=f"{PREFIX}{public}",
        notes=tuple(note for note in (label_note, clip_note, step_note) if note),
        sha256=_digest(_weights_files(folder)),
    )
    several = network.config.problem_type == "multi_label_classification"
    model = HfModel(network, config).eval()
    activation: Activation = "sigmoid" if several else "softmax"
    return Classifier(model, clip, labels, training.averaging, card, activation=activation)


def _find_training(
    config: HfConfig, frame_step: float | None, name: str
) -> tuple[Training, str | None]:
    """The frame step of a model, and a note where only the table tells. Raises WeightsError."""
    known = RATES.get((config.network, config.classes))
    if known is None and config.network == "timesformer" and config.classes in (174, 400, 600):
        seconds, _ = guess_frame_step(config.frames, config.classes)
        known = Training(seconds, bins=config.classes == 174, averaging="logit")
    if frame_step is not None:
        return Training(frame_step, averaging=known.averaging if known else "probability"), None
    if known is None:
        raise WeightsError(
            f"{name}: its files do not say how far apart the frames of a clip are",
            hint="give the seconds as in training: --frame-step 0.133 is one frame in 4 at 30 fps",
        )
    return known, (
        f"{known.seconds:.3g} s between frames, as published models of {config.network} with "
        f"{config.classes} classes were trained; --frame-step says otherwise"
    )


def _build_network(folder: Path, plain: Mapping[str, Any]) -> tuple[Any, HfConfig]:
    """The network in a folder, float32, with every tensor accounted for."""
    transformers = load_transformers()
    files = _weights_files(folder)
    if not files:
        refuse(folder, "has neither model.safetensors nor pytorch_model.bin")
    if any(isinstance(v, int | float) and abs(v) > MAX_SETTING for v in plain.values()):
        refuse(folder / "config.json", "has a setting that is absurdly large")
    local: Any = {"local_files_only": True, "trust_remote_code": False}
    auto = transformers.AutoModelForVideoClassification
    with _silent(transformers):
        try:
            settings = transformers.AutoConfig.from_pretrained(folder, **local)
            _require_size(auto, settings, files, folder)
            network, differences = auto.from_pretrained(
                folder,
                config=settings,
                use_safetensors=files[0].suffix == ".safetensors",
                output_loading_info=True,
                **local,
            )
        except BROKEN as error:
            reason = first_line(error)
            refuse(folder, f"not for video classification with transformers: {reason}", error)
    wrong = [f"{kind.split('_')[0]} {key}" for kind in differences for key in differences[kind]]
    if wrong:
        refuse(folder, f"{len(wrong)} differences to the model: {'; '.join(wrong[:5])}")
    network = network.float()
    require_finite(network.state_dict(), str(folder))
    return network, _read_config(settings, folder)


def _require_size(auto: Any, settings: Any, files: list[Path], folder: Path) -> None:
    """Raise WeightsError for a model that its files cannot fill: it would exhaust memory."""
    with torch.device("meta"):
        empty = auto.from_config(settings, trust_remote_code=False)
    needed = sum(tensor.numel() for tensor in empty.state_dict().values())
    if needed > sum(file.stat().st_size for file in files):
        refuse(folder, f"config.json describes {needed:,} numbers, more than its files hold")


def _read_config(settings: Any, folder: Path) -> HfConfig:
    """The shape of a network, of settings that families of transformers name differently."""
    kind, tubelet = str(settings.model_type), getattr(settings, "tubelet_size", None)
    if settings.problem_type == "regression":
        refuse(folder, "its problem_type is regression: it has no labels")
    if getattr(settings, "attention_type", "") == "space_only":
        refuse(folder, "transformers does not average the frames of space_only: leave hf: out")
    numbers = {
        "frames": ("num_frames", "frames_per_clip"),
        "image_size": ("image_size", "crop_size"),
    }
    found = {
        word: next((getattr(settings, name) for name in names if hasattr(settings, name)), None)
        for word, names in numbers.items()
    }
    patch = getattr(settings, "patch_size", None)
    patch = patch if patch is not None or not isinstance(tubelet, list) else tubelet[-1]
    plain = {name: value for name, value in settings.to_dict().items() if not OWN.match(name)}
    return HfConfig(
        network=kind,
        settings=json.dumps(plain, sort_keys=True),
        classes=settings.num_labels,
        frames=hf_folder.read_count(found, "frames", folder),
        size=hf_folder.read_side(found, "image_size", folder),
        patch=hf_folder.read_count({"patch_size": patch}, "patch_size", folder),
        any_length=kind == "vjepa2",
    )


def _weights_files(folder: Path) -> list[Path]:
    """The files of weights of a folder, safetensors before pickles; split ones in order."""
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            return files
    return []


def _digest(files: list[Path]) -> str:
    """That of a file, or of the digests of several."""
    digests = [sha256_file(file) for file in files]
    return digests[0] if len(digests) == 1 else sha256("".join(digests))


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Keep transformers from printing, which is left to the caller of this library."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
