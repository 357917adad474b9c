"""Rules that settings must keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vidattn.config.serialization import to_plain
from vidattn.errors import RecipeError

MAX_COUNT = 1 << 20
"""A count above it is a slip, and would exhaust memory."""


def require(section: str, config: Any, rules: Mapping[str, tuple[bool, str]]) -> None:
    """Raise RecipeError for the first setting that breaks its rule, with the default as a hint.

    rules: by name, whether the value is good, and the rule in words. NaN breaks comparisons.
    """
    defaults = {f.name: f.default for f in fields(config)}
    for name, (good, rule) in rules.items():
        if not good:
            raise RecipeError(
                f"{section}{name} must be {rule}, got {getattr(config, name)}",
                hint=f"the default is {json.dumps(to_plain(defaults[name]))}",
            )


def require_shape(section: str, config: Any, counts: str, *ratios: tuple[str, str]) -> None:
    """Raise RecipeError unless counts are positive and, for each ratio, one divides the other."""
    for name in counts.split():
        if not 0 < getattr(config, name) <= MAX_COUNT:
            raise RecipeError(
                f"{section}.{name} must be > 0 and at most {MAX_COUNT}, got {getattr(config, name)}"
            )
    for whole, part in ratios:
        if getattr(config, whole) % getattr(config, part):
            raise RecipeError(
                f"{section}.{whole} {getattr(config, whole)} is not a multiple of "
                f"{section}.{part} {getattr(config, part)}"
            )
