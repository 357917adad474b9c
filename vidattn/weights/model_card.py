"""What a user asks before trusting a model: facts of the catalog, and cards for the hub.

Of the catalog nothing is downloaded: operations and parameters are counted, time and memory are
estimates.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.errors
import torch
from huggingface_hub import CommitOperationAdd, ModelCardData

from vidattn.config import ClipConfig, ModelConfig, StamConfig, TimeSformerConfig
from vidattn.config.labels import COUNTS, load_labels
from vidattn.errors import DataError, OutputError, UsageError
from vidattn.models.classifier import VARIANTS, Classifier
from vidattn.models.flops import count_macs
from vidattn.weights import download, safetensors_file, sources
from vidattn.weights.catalog import CatalogEntry

METRICS = (
    ("top1", "top-1"),
    ("top5", "top-5"),
    ("mean_class", "mean of classes"),
    ("ece", "calibration error (ECE)"),
)
OF_SEVERAL = (("map", "mAP"), ("macro_f1", "macro F1"), ("mean_class", "mean of classes"))
"""Metrics of a card, of one label a sample and of several."""
MOST_LABELS = 100
"""Labels that a card lists."""


def make_model_card(
    classifier: Classifier,
    hub_id: str = "",
    evaluation: Mapping[str, Any] | None = None,
) -> str:
    """The README.md of a model on the hub: YAML for the hub, then what a reader asks.

    hub_id: the repository; by default that of nobody yet, named as the model. evaluation: what
    `vidattn eval --json` printed. Raises DataError for another document.
    """
    card, clip = classifier.card, classifier.clip
    hub_id = hub_id or f"OWNER/{card.name}"
    head = ModelCardData(
        license=card.license.lower() or None,
        library_name="vidattn",
        pipeline_tag="video-classification",
        tags=["video", "video-classification"],
    )
    labels = ", ".join(classifier.labels[:MOST_LABELS])
    more = f", ... ({len(classifier.labels)})" if len(classifier.labels) > MOST_LABELS else ""
    several = classifier.activation == "sigmoid"
    text = f"""---
{head.to_yaml()}
---

# {hub_id.split("/")[-1]}

Names what happens in a video, and when: one of {len(classifier.labels)} labels for each window of
{clip.span_seconds:.3g} s.{" Several labels can hold at once." if several else ""}

## Labels

{labels}{more}

{_describe_use(clip, hub_id)}

## Training

Data: {card.training_data or "not recorded"}. Source: {card.source or "not recorded"}.

## Metrics

{_describe_metrics(classifier, evaluation)}

## Calibration

{_describe_calibration(classifier)}

## License

{card.license or "Unknown"}: {explain_license(card.license)}.

## Limits

It will not see {LIMITS.get(card.training_data, BLIND)}.
Scores on other footage than that of the metrics can be lower.
"""
    notes = "".join(f"\n- {note}" for note in card.notes)
    return f"{text}{notes}\n" if notes else text


def _describe_use(clip: ClipConfig, hub_id: str) -> str:
    return f"""## Use

```sh
pip install vidattn
vidattn segment movie.mp4 -m {hub_id}
```

A clip has {clip.frames} frames, one every {clip.step_seconds:.3g} s, short side
{clip.short_side}, cropped to {clip.crop} x {clip.crop} pixels, {clip.channels.upper()}.
The file holds labels and preprocessing."""


def _describe_metrics(classifier: Classifier, evaluation: Mapping[str, Any] | None) -> str:
    known = f"Known: {classifier.card.expect}." if classifier.card.expect else "None recorded."
    if evaluation is None:
        return known
    try:
        sha256, settings = str(evaluation["sha256"]), evaluation.get("settings", {})
        several = evaluation.get("several")
        measured, named = (several, OF_SEVERAL) if several else (evaluation, METRICS)
        skipped = {"top5"} if len(classifier.labels) <= 5 else {}  # it is always 100 %
        shown = [(key, name) for key, name in named if key not in skipped]
        rows = [f"| {name} | {100 * float(measured[key]):.1f} % |" for key, name in shown]
        ends = several["intervals"]["map"] if several else evaluation["top1_interval"]
        sure = ""
        if ends[0] is not None:  # as it is where all samples are of one group
            low, high = (100 * float(bound) for bound in ends)
            sure = f"; {named[0][1]} lies between {low:.1f} and {high:.1f} % (95 %)"
        dataset, count = evaluation["dataset"], int(evaluation["scored"])
    except (KeyError, TypeError, ValueError) as error:
        hint = "vidattn eval -m MODEL --dataset NAME --json > eval.json"
        raise DataError("--metrics: not what vidattn eval --json prints", hint=hint) from error
    if sha256 != classifier.card.sha256:
        raise DataError("--metrics: of other weights: their sha256 differs")
    asked = "".join(f" --{k} {settings[k]}" for k in ("views", "sampling") if k in settings)
    if settings.get("frames", frames := classifier.clip.frames) != frames:
        asked += f" --frames {settings['frames']}"
    table = "\n".join(["| metric | value |", "|---|---|", *rows])
    return (
        f"{table}\n\nOn {count} samples of {dataset}{sure}. Measured by `vidattn eval -m MODEL "
        f"--dataset {dataset}{asked} --json`. {known}"
    )


def _describe_calibration(classifier: Classifier) -> str:
    if classifier.temperature == 1:
        return "Not calibrated: a score is not the share of such answers that are right."
    return f"Scores are calibrated by a temperature of {classifier.temperature:.3g}."


def push(
    classifier: Classifier,
    hub_id: str,
    *,
    private: bool = True,
    evaluation: Mapping[str, Any] | None = None,
) -> str:
    """Put model.safetensors and README.md into a repository of the hub, which is made if missing.

    The client has the hub validate the card before the commit.
    The token is that of `hf auth login` or HF_TOKEN. Returns the address. Raises UsageError for
    another name, OutputError when the hub refuses, cannot be reached, or is not to be used.
    """
    if hub_id.count("/") != 1 or not all(hub_id.split("/")):
        raise UsageError(f"{hub_id}: not OWNER/NAME of the Hugging Face hub")
    if download.is_offline():
        raise OutputError(f"{hub_id}: not pushed: HF_HUB_OFFLINE is set")
    card = make_model_card(classifier, hub_id, evaluation)
    network: Any = huggingface_hub.errors.HfHubHTTPError.__bases__
    with tempfile.TemporaryDirectory() as folder:
        weights = safetensors_file.save(classifier, Path(folder) / "model.safetensors")
        operations = [
            CommitOperationAdd("README.md", card.encode()),
            CommitOperationAdd("model.safetensors", weights),
        ]
        try:
            api = huggingface_hub.HfApi()
            address = api.create_repo(hub_id, private=private, exist_ok=True)
            api.create_commit(hub_id, operations, commit_message="Add a model of vidattn")
        except (OSError, ValueError, *network) as error:
            reason = download.describe_root(error)
            hint = "hf auth login, with a token that may write"
            message = f"{hub_id}: not pushed to {download.hub_host()}: {reason}"
            raise OutputError(message, hint=hint) from error
    return str(address)


FREE = "may be used at work and in products; license and notices stay with it"
LICENSES = {
    "Apache-2.0": FREE,
    "MIT": FREE,
    "BSD-2-Clause": FREE,
    "BSD-3-Clause": FREE,
    "CC0-1.0": "may be used at work and in products",
    "CC-BY-4.0": "may be used at work and in products; its authors must be named",
    "CC-BY-SA-4.0": "may be used at work; what is made from it must have the same license",
}
"""What a license allows, in one sentence."""
KINETICS = "human actions in short videos from the web"
PURPOSE = {
    "k400": f"Kinetics-400: 400 {KINETICS}",
    "k600": f"Kinetics-600: 600 {KINETICS}",
    "ssv2": "Something-Something V2: 174 things that hands do with objects",
    "howto100m": "HowTo100M: 1059 tasks of instructional videos, by number",
    "motion": "generated videos: 10 movements of the camera",
}
"""What published models were trained on and for."""
BLIND = "anything outside its labels, which gets the nearest label all the same"
LIMITS = {
    "k400": f"{BLIND}; animals, objects, sound, who or how many",
    "k600": f"{BLIND}; animals, objects, sound, who or how many",
    "ssv2": f"{BLIND}; which object it is, what happens beyond the hands, sound",
    "howto100m": f"{BLIND}; names of tasks, which the authors did not publish with the weights",
    "motion": "what happens in the video: its labels are movements of the camera only",
}
PROBE = 768
"""The side of the matrices whose product is timed."""


def explain_license(license: str) -> str:
    """Whether weights may be used at work, in one sentence."""
    if "NC" in license:
        return "not for commercial use: research and private use only, its authors named"
    return LICENSES.get(license, "not known here: ask its authors before using it at work")


def shape_of(entry: CatalogEntry) -> ModelConfig:
    """The shape of a published model that is not bundled."""
    classes = {**COUNTS, "howto100m": 1059}[entry.dataset]
    if entry.attention in VARIANTS:
        shape = VARIANTS[entry.attention]
        return replace(shape, classes=classes, frames=entry.frames, size=entry.size)
    if entry.attention == "stam":
        return StamConfig(classes, entry.frames)
    return TimeSformerConfig(entry.attention, classes, entry.frames, entry.size)


def describe_entry(entry: CatalogEntry) -> dict[str, Any]:
    """The facts of a model of the catalog, as JSON values."""
    work = count_macs(shape_of(entry), entry.frames, entry.size)
    step, seconds = entry.frame_interval / 30, 2 * work / _measure_flops()
    notes = [note for note in (entry.note, *(s.note for s in entry.sources)) if note]
    return {
        "name": entry.name,
        "trained_on": PURPOSE[entry.dataset],
        "clip": f"{entry.frames} frames of {entry.size} x {entry.size} pixels, "
        + (f"one every {step:.3g} s" if step else "spread over the video"),
        "score": entry.expect,
        "score_from": "its authors; not measured here" if entry.expect else "",
        "license": entry.license,
        "use": explain_license(entry.license),
        "will_not_see": LIMITS[entry.dataset]
        + (f"; what is over within {step:.2g} s, between two frames" if step > 0.5 else ""),
        "megabytes": entry.megabytes,
        "downloaded": sources.find_local(entry) is not None,
        "sources": [source.location for source in entry.sources],
        "digest": entry.sources[0].sha256 or "not published; that of the first download is pinned",
        "memory": f"about {2 * entry.megabytes / 1000:.1f} GB, estimated",
        "speed": f"{work / 1e9:.0f} G multiply-adds a clip: about "
        f"{seconds:.{0 if seconds >= 10 else 1}f} s on this CPU, estimated from a matrix product",
        "notes": notes,
        "labels": list(load_labels(entry.dataset)) if entry.dataset in COUNTS else [],
    }


def _measure_flops() -> float:
    """Operations a second of a matrix product on this CPU."""
    matrix = torch.ones(PROBE, PROBE)
    matrix @ matrix  # the first one prepares
    start = time.perf_counter()
    matrix @ matrix
    return 2 * PROBE**3 / max(time.perf_counter() - start, 1e-9)
