"""Frozen dataclasses as JSON: to and from plain values, and changed by `--set KEY=VALUE`.

Reading is strict: every key must be known and every value of its type, and errors name the key.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

from vidattn.errors import RecipeError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses to dicts and tuples to lists, all the way down: what `json.dumps` accepts."""
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
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(typing.cast(Any, kind))}
    prefix = f"{where}." if where else ""
    for key in plain:
        if key not in known:
            raise RecipeError(f"{prefix}{key}: no such setting", hint=_meant(str(key), known))
    values = {k: _value(hints[k], v, f"{prefix}{k}") for k, v in plain.items()}
    for f in known.values():
        has_default = not (
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        )
        if f.name not in values and not has_default:
            raise RecipeError(f"{prefix}{f.name}: missing")
    return kind(**values)


def _meant(name: str, known: Iterable[str]) -> str:
    """What somebody who wrote `name` may have meant: the closest name, or all there are."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "known: " + ", ".join(known)


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against a type hint; lists become the tuples the hint asks for."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return from_plain(typing.cast(type, hint), value, where)
    if origin is Literal:
        if value not in args:
            raise RecipeError(
                f"{where}: expected one of {', '.join(map(str, args))}, got {value!r}"
            )
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _value(next(a for a in args if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: expected a list, got {value!r}")
        inner = args[:1] * len(value) if args[-1:] == (Ellipsis,) else args
        if len(inner) != len(value):
            raise RecipeError(f"{where}: expected {len(inner)} values, got {len(value)}")
        return tuple(
            _value(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, value, strict=True))
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        # No float reaches 10^309; infinity is refused later, by the range of the setting.
        return float(value) if abs(value) < 10**300 else math.inf * (1 if value > 0 else -1)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise RecipeError(f"{where}: expected {names.get(hint, str(hint))}, got {value!r}")
    return value


def with_settings(recipe: T, settings: Iterable[str]) -> T:
    """Apply `--set` arguments such as "optim.lr=1e-3" or "clip.frames=16" to a dataclass, in order.

    Values are read as JSON where they are JSON and as text otherwise. Raises RecipeError.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(
                f"--set {setting!r}: expected KEY=VALUE", hint="for example --set optim.lr=1e-3"
            )
        recipe = _replaced(recipe, key.strip().split("."), _parsed(text.strip()), key.strip())
    return recipe


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """In what two dataclasses of one kind differ, such as "optim.lr was 0.1, is 0.2"."""
    if is_dataclass(one):
        below = (f.name for f in fields(one))
        pairs = ((f"{name}.{f}" if name else f, getattr(one, f), getattr(other, f)) for f in below)
        return [text for where, a, b in pairs for text in differences(a, b, where)]
    return [f"{name} was {json.dumps(one)}, is {json.dumps(other)}"] if one != other else []


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the parser refuses endless digits and depths
        return text


def _replaced(value: Any, path: list[str], new: Any, where: str) -> Any:
    known = {f.name for f in fields(value)}
    name, rest = path[0], path[1:]
    if name not in known:
        raise RecipeError(f"--set {where}: no such setting", hint=_meant(name, sorted(known)))
    if rest and not is_dataclass(getattr(value, name)):
        raise RecipeError(f"--set {where}: {name} has no settings below it")
    hint = typing.get_type_hints(type(value))[name]
    changed = (
        _replaced(getattr(value, name), rest, new, where) if rest else _value(hint, new, where)
    )
    return replace(value, **{name: changed})
