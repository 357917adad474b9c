"""What a user asks before trusting a model, in plain sentences, from the catalog and its licenses.

Nothing is downloaded. Operations and parameters are counted, time and memory are estimates.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from vidattn.config import ModelConfig, StamConfig, TimeSformerConfig
from vidattn.config.labels import COUNTS, load_labels
from vidattn.models.classifier import VARIANTS
from vidattn.models.flops import count_macs
from vidattn.weights import sources
from vidattn.weights.catalog_entry import CatalogEntry

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
        "digest": entry.sha256 or "not published; that of the first download is pinned",
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
