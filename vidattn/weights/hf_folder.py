"""Files beside the weights in a folder of Hugging Face transformers: labels, frames, license."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidattn.config import ClipConfig, labels
from vidattn.errors import RecipeError, WeightsError
from vidattn.io.files import exists, read_file, reading
from vidattn.weights.safetensors_file import refuse
from vidattn.weights.snapshot import require_regular

PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")
"""How frames are prepared, as older and newer versions of transformers call it."""
Triple = tuple[float, float, float]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the colors of ImageNet, in [0, 1]."""


@dataclass(frozen=True)
class Preprocessing:
    """How frames become pixels of a model: scaled, cropped, and (x / 255 - mean) / std."""

    short_side: float = 1.0
    """Of the frame before cropping, as a multiple of the crop."""
    mean: Triple = (0.45,) * 3
    std: Triple = (0.225,) * 3
    offset: bool = False
    """Whether 1 is subtracted between scaling by 1/127.5 and normalizing, unless a file says no."""
    own_short_side: bool = False
    """Whether transformers computes the short side from the crop, whatever the file says."""


PUBLISHED = {
    "timesformer": Preprocessing(),
    "videomae": Preprocessing(1.0, *IMAGENET),
    "vivit": Preprocessing(256 / 224, (0.75,) * 3, (0.25,) * 3, offset=True),
    "vjepa2": Preprocessing(256 / 224, *IMAGENET, own_short_side=True),
}
"""The preprocessing of published weights by type of model. Sources: the preprocessor_config.json of
facebook/timesformer-base-finetuned-k400 and MCG-NJU/videomae-base-finetuned-kinetics, and the
defaults of the VivitImageProcessor and VJEPA2VideoProcessor of transformers."""


def read_clip(
    folder: Path, kind: str, frames: int, size: int, step_seconds: float, *, bins: bool
) -> tuple[ClipConfig, str | None]:
    """The clip of a model by the file of its processor, and a note where there is none.

    kind: the type of model. size: pixels of the side of its frames. bins: as of `train_sampling`.
    Raises WeightsError, also for a type of model of which no preprocessing is known.
    """
    path = next((p for p in (folder / name for name in PROCESSORS) if exists(p)), None)
    known, note = PUBLISHED.get(kind), None
    if path is not None:
        crop, short_side, mean, std = _read_processor(path, known or Preprocessing())
    elif known is not None:
        crop, short_side = size, int(size * known.short_side)
        mean, std = known.mean, known.std
        note = f"frames are prepared as for published models of {kind}: no {PROCESSORS[0]} says how"
    else:
        raise WeightsError(
            f"{folder}: has no {PROCESSORS[0]}, which says how frames are prepared",
            hint="copy that of the model it was trained from, or save_pretrained of its processor",
        )
    try:
        clip = ClipConfig(
            frames=frames,
            step_seconds=step_seconds,
            short_side=max(short_side, crop),
            crop=crop,
            mean=mean,
            std=std,
            train_sampling="bins" if bins else "dense",
        )
    except RecipeError as error:
        refuse(path or folder, error.message, error)
    return clip, note


def _read_processor(path: Path, known: Preprocessing) -> tuple[int, int, Triple, Triple]:
    """Crop, short side, mean and std, the latter of colors in [0, 1]."""
    plain = read_json(path)
    for key in ("do_rescale", "do_resize", "do_center_crop"):
        if not plain.get(key, True):
            refuse(path, f"{key} is false: such input is not supported")
    factor = plain.get("rescale_factor", 1 / 127.5 if known.offset else 1 / 255)
    scale = round(255 * factor, 3) if _is_number(factor) else 0.0
    if scale not in (1.0, 2.0):
        refuse(path, f"rescale_factor is {factor!r}, not 1/255")
    offset = 1.0 if known.offset and plain.get("offset", True) else 0.0
    mean, std = (0.0,) * 3, (1.0,) * 3
    if plain.get("do_normalize", True):
        mean, std = _read_triple(plain, "image_mean", path), _read_triple(plain, "image_std", path)
    mean = (offset + mean[0]) / scale, (offset + mean[1]) / scale, (offset + mean[2]) / scale
    std = std[0] / scale, std[1] / scale, std[2] / scale
    crop = read_side(plain, "crop_size", path)
    own = known.own_short_side
    return crop, int(crop * known.short_side) if own else read_side(plain, "size", path), mean, std


def read_labels(
    config: Mapping[str, Any], count: int, folder: Path
) -> tuple[tuple[str, ...], str | None]:
    """Labels from id2label, unless they are the placeholders of transformers."""
    table = config.get("id2label")
    if not isinstance(table, Mapping) or not table:
        return labels.guess_labels(count)
    names = [table.get(str(i)) for i in range(len(table))]
    if len(names) != count or not all(isinstance(n, str) for n in names):
        refuse(folder / "config.json", f"id2label does not name {count} classes")
    if names == [f"LABEL_{i}" for i in range(count)]:
        return labels.guess_labels(count)
    return tuple(str(n) for n in names), None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises WeightsError for anything else."""
    require_regular(path)
    try:
        with reading(path, WeightsError):
            plain = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        refuse(path, f"is not JSON: {error}", error)
    if not isinstance(plain, dict):
        refuse(path, "is not a JSON object")
    return plain


def read_count(plain: Mapping[str, Any], key: str, path: Path) -> int:
    """A whole number above 0. Raises WeightsError for anything else."""
    value = plain.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        refuse(path, f"{key} should be a whole number above 0, is {value!r}")
    return value


def read_side(plain: Mapping[str, Any], key: str, path: Path) -> int:
    """A size, which processors write as 224, {"shortest_edge": 224} or {"height": 224}."""
    value = plain.get(key)
    if isinstance(value, Mapping):
        value = value.get("shortest_edge", value.get("height"))
    return read_count({key: value}, key, path)


def _read_triple(plain: Mapping[str, Any], key: str, path: Path) -> Triple:
    value = plain.get(key)
    if not (isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))):
        refuse(path, f"{key} should be three numbers, is {value!r}")
    return (float(value[0]), float(value[1]), float(value[2]))


def _is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    if not isinstance(value, float | int) or isinstance(value, bool):
        return False
    return -1e300 < value < 1e300


def read_license(folder: Path) -> str:
    """The license in the head of README.md, in the upper case of SPDX."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            text = file.read(4000)
    except OSError:
        return ""
    match = re.search(r"^license: *[\"']?([\w.+-]+)", text, re.MULTILINE)
    return match[1].upper().replace("APACHE", "Apache") if match else ""
