"""Low precision against float32: bf16 on a drawn clip, int8 on some windows of a video.

A model that was calibrated for int8 has what was found in it. Its windows are compared only where
the video shows more than the clips that calibrated it. A check on a drawn clip says the same in
every run: the first run of a model on a processor pays for it, and later ones read it in the cache.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vidattn.config import ClipConfig, Int8Calibration
from vidattn.config.serialization import from_plain, to_plain
from vidattn.data import transforms
from vidattn.data.frames import view_clips
from vidattn.data.motion.scene import draw_surface
from vidattn.data.motion.textures import DrawnTextures
from vidattn.errors import InputError, RecipeError, UsageError
from vidattn.inference.events import Scores
from vidattn.inference.scorer import Scorer
from vidattn.io.cache import open_checks
from vidattn.io.files import sha256
from vidattn.io.json import parse_object
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier
from vidattn.models.device import Precision, Runtime
from vidattn.models.int8 import are_within, list_ranges, token_levels
from vidattn.types import View
from vidattn.video import Video

Ranges = Literal["layer", "token"]
ClipSource = Literal["windows", "drawn_clips", "calibration_clips"]

DRAWN_SEED = (3, 2)
"""Of the clip for bf16, which shows dead leaves over one another as natural images do."""
PAN = 0.5
"""How far the camera moves in that clip, in widths of the picture."""
MAX_VIEWS, VIEWS_PER_CHECK = 3, 8
"""For int8 one in so many views is checked, at least one and at most MAX_VIEWS."""
TOLERANCE = 0.1
"""Largest difference of a score that is accepted."""
WORSE, SLIGHT = 2.0, 0.01
"""One range for all tokens of a layer may move scores so many times as far as a range for each
token, or so far, before the slower way is taken."""
LIKELY = 5
"""Labels of a clip among which another clip could be undecided."""
VERSION = 1
"""Of what is drawn and compared; checks of another one are not read."""
MOST_BYTES = 4096
"""Of one check."""


@dataclass(frozen=True)
class PrecisionCheck:
    """The scores of some clips in a precision, compared with float32."""

    precision: Precision
    clips: int
    """How many, of `source`."""
    same_label: int
    """Clips with the same best label."""
    max_difference: float
    """The largest difference of a score."""
    ranges: Ranges | None = None
    """Of int8: whether all tokens of a layer share a range of values."""
    source: ClipSource = "drawn_clips"
    reason: str = ""
    """Why windows are checked although the model is calibrated."""

    @classmethod
    def of_calibration(cls, found: Int8Calibration) -> PrecisionCheck:
        """The check that a calibration holds."""
        ranges: Ranges = "layer" if found.ranges else "token"
        counts = found.clips, found.same_label, found.max_difference
        return cls("int8", *counts, ranges, "calibration_clips")

    @property
    def passed(self) -> bool:
        """Whether the difference lies within TOLERANCE."""
        return self.max_difference <= TOLERANCE

    def __str__(self) -> str:
        """A sentence."""
        calibration = count_noun(self.clips, "calibration clip")
        where = {
            "windows": f"{self.clips} of the windows",
            "drawn_clips": count_noun(self.clips, "drawn clip"),
            "calibration_clips": f"{calibration} of the model's file",
        }[self.source]
        return (
            f"{self.precision} beside float32 in {where}: same best label in {self.same_label}, "
            f"scores differ by {self.max_difference:.4f} at most"
            + (f"; checked since {self.reason}" if self.reason else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values for the `model` of a timeline."""
        counts = {self.source: self.clips, "same_label": self.same_label}
        ranges = {} if self.ranges is None else {"ranges": self.ranges}
        values = {"max_difference": round(self.max_difference, 5)}
        return {self.precision: counts | values | ranges}


def needs_check(scorer: Scorer, runtime: Runtime) -> bool:
    """Whether `scorer` computes in int8, or in bf16 by its own choice."""
    return scorer.precision == "int8" or (
        runtime.precision == "auto" and scorer.precision == "bf16"
    )


def check_drawn(classifier: Classifier, scorer: Scorer, runtime: Runtime) -> PrecisionCheck:
    """Compare `scorer` with float32 on a drawn clip of the trained length, the same in every run.

    Enough for bfloat16, to which nothing is fitted: one clip tells whether a model bears it.
    """
    clips = [draw_clip(classifier.clip)]
    exact = _exact(classifier, runtime)(clips)
    return _compare(
        scorer.precision, _scores(classifier, exact), _scores(classifier, scorer(clips))
    )


def draw_clip(clip: ClipConfig) -> Tensor:
    """A camera that pans over a drawn texture, as a model takes it: float32 [3, T, crop, crop]."""
    textures = DrawnTextures(DRAWN_SEED, 1)
    surface = draw_surface(np.random.default_rng(DRAWN_SEED), textures, difficulty=0.0)
    poses = np.zeros((clip.frames, 4))
    poses[:, 0] = np.linspace(-PAN / 2, PAN / 2, clip.frames)
    return transforms.normalize(transforms.to_clip(surface.view(poses, clip.crop)), clip)


def check_windows(
    video: Video, views: Sequence[View], classifier: Classifier, scorer: Scorer, runtime: Runtime
) -> tuple[Scorer, PrecisionCheck | None]:
    """Compare `scorer`, in int8, with float32 on a few of `views`; None if none decodes.

    The scorer returned has one range of values for all tokens of a layer, calibrated on these
    views, unless that agrees clearly worse than a range for each token. A calibrated scorer is
    returned as it is, and not compared, if these views stay within its ranges. Raises InputError
    when it is too far off, see TOLERANCE.
    """
    found, reason = scorer.calibration, ""
    count = min(MAX_VIEWS, max(1, len(views) // VIEWS_PER_CHECK))
    # Between the ends, which are often black.
    places = np.linspace(0, len(views) - 1, count + 2)[1:-1].round().astype(int).tolist()
    views = [views[place] for place in places]
    clips = [clip for clip in view_clips(video, views, classifier.clip) if clip is not None]
    if found is not None:
        plain = scorer.uncalibrated()
        if are_within(list_ranges(plain.calibrated(clips)[0].model), found.ranges):
            return scorer, PrecisionCheck.of_calibration(found)
        scorer, reason = plain, "the video shows more than the calibration"
    if not clips:
        return scorer, None
    scorer, check = _choose_ranges(clips, classifier, scorer, runtime, "windows")
    check = replace(check, reason=reason)
    _require_passed(check, video.path, "--precision int8")
    return scorer, check


def calibrate_int8(classifier: Classifier, clips: Sequence[Tensor]) -> Classifier:
    """The same model with the ranges of its layers in 8-bit integers, and how these agree with
    float32 on clips [3, T, H, W] of real videos, so that `--precision int8` compares no windows of
    videos like these.

    For `vidattn.save`. Raises UsageError where int8 is impossible, InputError when it is too far
    off, see TOLERANCE.
    """
    runtime, card = Runtime("cpu", "int8"), replace(classifier.card, sha256="")
    classifier = replace(classifier, int8=None, card=card)
    try:
        scorer = Scorer(classifier, runtime)
    except UsageError as error:
        raise UsageError(f"--int8: {error.message}", hint="leave --int8 out") from None
    scorer, check = _choose_ranges(clips, classifier, scorer, runtime, "calibration_clips")
    _require_passed(check, card.name, "--int8")
    found = Int8Calibration(
        classifier.digest(),
        token_levels(),
        check.clips,
        check.same_label,
        check.max_difference,
        list_ranges(scorer.model),
    )
    return replace(classifier, int8=found)


def _choose_ranges(
    clips: Sequence[Tensor],
    classifier: Classifier,
    scorer: Scorer,
    runtime: Runtime,
    source: ClipSource,
) -> tuple[Scorer, PrecisionCheck]:
    """Of `scorer` and the one with a range of values for each layer, the better one."""

    def run(scorer: Scorer) -> list[Tensor]:
        return [scorer([clip])[0] for clip in clips]

    exact_logits = run(_exact(classifier, runtime))
    exact = _scores(classifier, exact_logits)
    calibrated, logits = scorer.calibrated(clips)
    result = _compare("int8", exact, _scores(classifier, logits), "token", source)
    logits = run(calibrated)
    faster = _compare("int8", exact, _scores(classifier, logits), "layer", source)
    if (
        faster.same_label >= result.same_label
        and faster.max_difference <= max(WORSE * result.max_difference, SLIGHT)
        and _possible_difference(classifier, exact_logits, logits) <= TOLERANCE
    ):
        return calibrated, faster
    return scorer, result


def _possible_difference(
    classifier: Classifier, exact: Sequence[Tensor], logits: Sequence[Tensor]
) -> float:
    """How far the same differences of logits could move a score of an undecided clip, in which
    scores follow logits more closely than in a clear one."""
    rows = torch.stack(list(exact))
    likely = rows.topk(min(LIKELY, rows.shape[1])).indices
    errors = ((torch.stack(list(logits)) - rows) / classifier.temperature).gather(1, likely)
    if classifier.activation == "sigmoid":
        return float((errors.abs().max() / 4).tanh())
    return float(((errors.amax(1) - errors.amin(1)).max() / 4).tanh())


def _require_passed(check: PrecisionCheck, name: str, option: str) -> None:
    if not check.passed:
        raise InputError(
            f"{name}: refused: {check}; {TOLERANCE:g} is the most allowed",
            hint=f"leave {option} out: this model loses too much in 8-bit integers",
        )


def _exact(classifier: Classifier, runtime: Runtime) -> Scorer:
    """The same model in float32, whose fused form is not kept, since that takes memory."""
    return Scorer(replace(classifier), replace(runtime, precision="fp32", compile=False))


def _scores(classifier: Classifier, logits: Sequence[Tensor]) -> Scores:
    scores: Scores = classifier.scores(torch.stack(list(logits))[:, None]).numpy()
    return scores


def _compare(
    precision: Precision,
    exact: Scores,
    scores: Scores,
    ranges: Ranges | None = None,
    source: ClipSource = "drawn_clips",
) -> PrecisionCheck:
    """Scores [N, K] beside the exact ones."""
    return PrecisionCheck(
        precision,
        len(scores),
        int((scores.argmax(1) == exact.argmax(1)).sum()),
        float(np.abs(scores - exact).max()),
        ranges,
        source,
    )


def find_or_check(classifier: Classifier, scorer: Scorer, runtime: Runtime) -> PrecisionCheck:
    """The check of `scorer` on a drawn clip, from the cache where it is there.

    Errors as of `check_drawn`.
    """
    store, name = open_checks(), f"{_check_key(classifier, scorer)}.json"
    found = _parse_check(store.read(name, MOST_BYTES))
    if found is None:
        found = check_drawn(classifier, scorer, runtime)
        if store.write(name, json.dumps(to_plain(found)).encode()):
            store.trim()
    return found


def _check_key(classifier: Classifier, scorer: Scorer) -> str:
    """A digest of model, clips, processor and software."""
    facts = {
        "file": classifier.card.sha256,
        "model": classifier.digest(),
        "precision": scorer.precision,
        "compiled": scorer.compiled,
        "processor": describe_processor(scorer.device),
        "versions": [VERSION, version("vidattn"), torch.__version__],
    }
    return sha256(json.dumps(facts, sort_keys=True), 40)


def describe_processor(device: torch.device) -> list[str]:
    """What computes: of a GPU its name, of a CPU the vector instructions that torch chooses and all
    that it has."""
    if device.type == "cuda":
        return [device.type, torch.cuda.get_device_name(device)]
    if device.type != "cpu":
        return [device.type]
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    used = torch.backends.cpu.get_cpu_capability()
    return [used, *sorted(name for name, value in has.items() if value is True)]


def _parse_check(data: bytes | None) -> PrecisionCheck | None:
    """The check that a file holds; None for anything else."""
    plain = None if data is None else parse_object(data)
    try:
        found = None if plain is None else from_plain(PrecisionCheck, plain)
    except RecipeError:
        return None
    return found if found is not None and math.isfinite(found.max_difference) else None
