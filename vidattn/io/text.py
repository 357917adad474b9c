"""Counted nouns."""

from __future__ import annotations


def count_noun(count: int, noun: str) -> str:
    """A number and its noun, such as "1 video", "0 classes" or "14400 windows"."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count} {noun if count == 1 else plural}"
