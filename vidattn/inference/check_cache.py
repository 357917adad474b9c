"""Precision checks on drawn clips in the cache, by all that they depend on.

Such a check says the same in every run: the first run of a model on a processor pays for it, and
later ones read it.
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version

import torch

from vidattn.config.serialization import from_plain, to_plain
from vidattn.errors import RecipeError
from vidattn.inference.precision_check import PrecisionCheck, check_drawn
from vidattn.inference.scorer import Scorer
from vidattn.io.cache import open_checks
from vidattn.io.digest import sha256
from vidattn.io.json import parse_object
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime

VERSION = 1
"""Of what is drawn and compared; checks of another one are not read."""
MOST_BYTES = 4096
"""Of one check."""


def find_or_check(classifier: Classifier, scorer: Scorer, runtime: Runtime) -> PrecisionCheck:
    """The check of `scorer` on a drawn clip, from the cache where it is there.

    Errors as of `check_drawn`.
    """
    store, name = open_checks(), f"{_key(classifier, scorer)}.json"
    found = _parse(store.read(name, MOST_BYTES))
    if found is None:
        found = check_drawn(classifier, scorer, runtime)
        if store.write(name, json.dumps(to_plain(found)).encode()):
            store.trim()
    return found


def _key(classifier: Classifier, scorer: Scorer) -> str:
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
    if device.type != "cpu":
        return [device.type, *_name_gpu(device)]
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    used = torch.backends.cpu.get_cpu_capability()
    return [used, *sorted(name for name, value in has.items() if value is True)]


def _name_gpu(device: torch.device) -> list[str]:
    return [torch.cuda.get_device_name(device)] if device.type == "cuda" else []


def _parse(data: bytes | None) -> PrecisionCheck | None:
    """The check that a file holds; None for anything else."""
    plain = None if data is None else parse_object(data)
    try:
        found = None if plain is None else from_plain(PrecisionCheck, plain)
    except RecipeError:
        return None
    return found if found is not None and math.isfinite(found.max_difference) else None
