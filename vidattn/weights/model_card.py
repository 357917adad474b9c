"""Model cards for the Hugging Face hub, and models that travel there and back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.errors
from huggingface_hub import CommitOperationAdd, ModelCardData

from vidattn.config import ClipConfig
from vidattn.errors import DataError, OutputError, UsageError
from vidattn.models.classifier import Classifier
from vidattn.weights import download, safetensors_file
from vidattn.weights.facts import BLIND, LIMITS, explain_license

METRICS = (("top1", "top-1"), ("top5", "top-5"), ("mean_class", "mean of classes"))
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
        rows = [f"| {name} | {100 * float(measured[key]):.1f} % |" for key, name in named]
        ends = several["intervals"]["map"] if several else evaluation["top1_interval"]
        low, high = (100 * float(bound) for bound in ends)
        dataset, count = evaluation["dataset"], int(evaluation["scored"])
    except (KeyError, TypeError, ValueError) as error:
        hint = "vidattn eval -m MODEL --dataset NAME --json > eval.json"
        raise DataError("--metrics: not what vidattn eval --json prints", hint=hint) from error
    if sha256 != classifier.card.sha256:
        raise DataError("--metrics: of other weights: their sha256 differs")
    views = f" --views {settings['views']}" if "views" in settings else ""
    table = "\n".join(["| metric | value |", "|---|---|", *rows])
    return (
        f"{table}\n\nOn {count} samples of {dataset}; {named[0][1]} lies between {low:.1f} and "
        f"{high:.1f} % (95 %). Measured by `vidattn eval -m MODEL --dataset {dataset}{views} "
        f"--json`. {known}"
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
