"""Frozen dataclasses as plain JSON values, changes by `--set KEY=VALUE`, and rules of values.

Reading is strict: every key must be known and every value of its type, and errors name the key.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeVar

from vidattn.errors import RecipeError, UsageError

T = TypeVar("T")
KIND = "kind"
"""The field that names one of several possible dataclasses."""
OLD_KEYS = {
    "ClipConfig": {"drawn": "train_sampling"},
    "DataConfig": {
        "keep_mb": "cache_mb",
        "easiest": "min_difficulty",
        "ramp": "curriculum",
        "jitter": "short_side_range",
        "jitter_drawn": "short_side_sampling",
    },
    "OptimConfig": {"checkpoint": "activation_checkpointing", "tune": "trainable"},
    "Recipe": {"start": "init_scheme", "long": "temporal_head"},
}
"""Former names of settings, by dataclass: run folders and weights files written with them load.
"""


def to_plain(value: Any) -> Any:
    """Nested dataclasses as dicts and tuples as lists, for `json.dumps`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    return value


def from_plain(kind: type[T], plain: Any, where: str = "") -> T:
    """The inverse of `to_plain`: checks every key and type.

    Raises RecipeError that names the offending key, such as "optim.lr: expected a number, got 'x'".
    """
    if not isinstance(plain, Mapping):
        raise RecipeError(f"{where or kind.__name__}: expected an object, got {plain!r}")
    old = OLD_KEYS.get(kind.__name__, {})
    plain = {old[k] if k in old and old[k] not in plain else k: v for k, v in plain.items()}
    hints = _find_hints(typing.cast(Any, kind))
    known = {f.name: f for f in fields(typing.cast(Any, kind))}
    prefix = f"{where}." if where else ""
    for key in plain:
        if key not in known:
            raise RecipeError(
                f"{prefix}{key}: no such setting", hint=_suggest(str(key), known, prefix)
            )
    values = {k: _parse_value(hints[k], v, f"{prefix}{k}") for k, v in plain.items()}
    missing = dataclasses.MISSING
    for f in known.values():
        if f.name not in values and f.default is missing and f.default_factory is missing:
            raise RecipeError(f"{prefix}{f.name}: missing")
    return kind(**values)


@cache
def _find_hints(kind: type) -> Mapping[str, Any]:
    """The types of the fields of a dataclass, which take longer to find than values to check."""
    return typing.get_type_hints(kind)


def check_fields(options: Any) -> None:
    """Check the fields of frozen options against their types; values of NumPy become Python's.

    Raises UsageError that names the field, such as "frames: expected a whole number, got 8.5".
    """
    for name, hint in _find_hints(typing.cast(Any, type(options))).items():
        object.__setattr__(options, name, check_value(hint, getattr(options, name), name))


def check_value(hint: Any, value: Any, name: str) -> Any:
    """A value of the type `hint`, as by `check_fields`."""
    try:
        return _parse_value(hint, value, name)
    except RecipeError as error:
        raise UsageError(error.message, hint=error.hint) from None


def _suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The known name closest to `name`, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {prefix}{close[0]}?" if close else "known: " + ", ".join(known)


def _parse_value(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against a type hint; lists become the tuples the hint asks for."""
    if getattr(value, "ndim", None) == 0:  # of NumPy or PyTorch
        value = value.item()
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        hint = typing.cast(type, hint)
        return value if isinstance(value, hint) else from_plain(hint, value, where)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where}: expected names with values, got {value!r}")
        if args[1] is str:
            return {name: _parse_value(str, one, f"{where}.{name}") for name, one in value.items()}
        return value
    if origin is Literal:
        if value not in args:
            raise RecipeError(
                f"{where}: expected one of {', '.join(map(str, args))}, got {value!r}"
            )
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        kinds = [a for a in args if a is not type(None)]
        return _parse_value(_choose_kind(kinds, value, where), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: expected a list, got {value!r}")
        inner = args[:1] * len(value) if args[-1:] == (Ellipsis,) else args
        if len(inner) != len(value):
            raise RecipeError(f"{where}: expected {len(inner)} values, got {len(value)}")
        return tuple(
            _parse_value(h, v, f"{where}[{i}]")
            for i, (h, v) in enumerate(zip(inner, value, strict=True))
        )
    if hint is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Fraction):  # such as a frame rate
        value = float(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        # No float reaches 10^309; infinity is refused later, by the range of the setting.
        return float(value) if abs(value) < 10**300 else math.inf * (1 if value > 0 else -1)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise RecipeError(f"{where}: expected {names.get(hint, str(hint))}, got {value!r}")
    return value


def _choose_kind(hints: list[Any], value: Any, where: str) -> Any:
    """The one of several dataclasses that `kind` names; the first by default."""
    if len(hints) == 1 or not isinstance(value, Mapping) or "kind" not in value:
        return hints[0]
    kinds = {hint.kind: hint for hint in hints}
    return kinds[_parse_value(Literal[tuple(kinds)], value["kind"], f"{where}.kind")]


def apply_settings(recipe: T, settings: Iterable[str]) -> T:
    """Apply `--set` arguments such as "optim.lr=1e-3" or "clip.frames=16" to a dataclass.

    Of a name the last counts; checks follow after all, so their order does not matter. Values are
    JSON, or else text. Raises UsageError.
    """
    plain = to_plain(recipe)
    try:
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise UsageError(
                    f"--set {setting!r}: expected KEY=VALUE", hint="for example --set optim.lr=1e-3"
                )
            _put(recipe, plain, key.strip().split("."), _parse_json(text.strip()), key.strip())
        return from_plain(type(recipe), plain)
    except RecipeError as error:
        raise UsageError(error.message, hint=error.hint) from None


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Differences of two dataclasses of one kind, such as "optim.lr was 0.1, is 0.2"."""
    if is_dataclass(one) and is_dataclass(other):
        below = (f.name for f in fields(one))
        pairs = ((f"{name}.{f}" if name else f, getattr(one, f), getattr(other, f)) for f in below)
        return [text for where, a, b in pairs for text in differences(a, b, where)]
    before, now = json.dumps(to_plain(one)), json.dumps(to_plain(other))
    return [f"{name} was {before}, is {now}"] if one != other else []


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # endless digits or depths
        return text


def _put(owner: Any, plain: dict[str, Any], path: list[str], new: Any, where: str) -> None:
    """Change the setting at a path in the plain form of `owner`. Raises RecipeError for an unknown
    name."""
    name, rest = path[0], path[1:]
    known = {f.name for f in fields(owner)}
    if name not in known:
        hint = _suggest(name, sorted(known), where.removesuffix(".".join(path)))
        raise RecipeError(f"--set {where}: no such setting", hint=hint)
    if name == KIND and new != getattr(owner, KIND):
        raise RecipeError(
            f"--set {where}: the kind of model is that of the recipe",
            hint="vidattn recipe list shows those of other kinds; name one with -m",
        )
    if not rest:
        plain[name] = new
    elif is_dataclass(below := getattr(owner, name)):
        _put(below, plain[name], rest, new, where)
    else:
        raise RecipeError(f"--set {where}: {name} has no settings below it")


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
