"""Text as pixels, in any script that a font of this computer knows.

Pillow brings a font for ASCII, so that English labels look the same everywhere. For other text the
usual folders are searched for a font that has all of it; signs that no font has are spelled out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FOLDERS = (
    "~/.local/share/fonts",
    "~/.fonts",
    "/usr/local/share/fonts",
    "/usr/share/fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
)
ENDINGS = (".ttf", ".otf", ".ttc")
MOST_FONTS = 3000
ELLIPSIS = "…"
ABSENT = "\U0010ffff"
"""No font has it; it is drawn as what a font draws for signs it does not have."""

Mask = NDArray[np.uint8]


class TextRenderer:
    """Draws text of one height."""

    def __init__(self, pixels: int) -> None:
        """pixels: the height of a line, from the top of an Å to the foot of a g."""
        self.pixels = pixels
        size = max(6, round(pixels * 0.8))
        self._size = size
        self.missing: set[str] = set()
        """Signs that were spelled out, since no font here has them."""

    def mask(self, text: str, room: int) -> Mask:
        """How much of each pixel the text covers: uint8 [pixels, width], width <= room.

        Text that is longer ends in an ellipsis.
        """
        from PIL import Image, ImageDraw

        font, text = self._font(text)
        text = _fitted(font, text, room)
        width = min(max(1, round(font.getlength(text)) + 1), max(room, 1))
        image = Image.new("L", (width, self.pixels))
        ascent, descent = font.getmetrics()
        y = (self.pixels - ascent - descent) / 2 + ascent
        ImageDraw.Draw(image).text((0, y), text, fill=255, font=font, anchor="ls")
        return np.asarray(image)

    def _font(self, text: str) -> tuple[FreeTypeFont, str]:
        """A font for a text, and the text as that font can show it."""
        if text.isascii():
            return _bundled(self._size), text
        path = _font_with(frozenset(text) - {" "})
        font = _bundled(self._size) if path is None else _loaded(path, self._size)
        lacks = {sign for sign in set(text) - {" "} if not _has(font, sign)}
        self.missing |= lacks
        return font, "".join(ascii(sign)[1:-1] if sign in lacks else sign for sign in text)


def _fitted(font: FreeTypeFont, text: str, room: int) -> str:
    """The text, or as much of its beginning as has room before an ellipsis."""
    if font.getlength(text) <= room:
        return text
    dots = ELLIPSIS if _has(font, ELLIPSIS) else "..."
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + dots) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + dots


@lru_cache(maxsize=8)
def _bundled(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@lru_cache(maxsize=8)
def _loaded(path: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, size)


@lru_cache(maxsize=64)
def _font_with(signs: frozenset[str]) -> str | None:
    """The font file that has most of the signs, the plainest of several; None without any."""
    best, most = None, 0
    for path in _files():
        try:
            font = _loaded(path, 12)
        except OSError:
            continue
        count = sum(_has(font, sign) for sign in signs)
        if count > most:
            best, most = path, count
        if most == len(signs):
            break
    return best


@lru_cache(maxsize=1)
def _files() -> tuple[str, ...]:
    """Fonts of this computer, upright sans serif ones of usual weight first."""
    return tuple(sorted(islice(_walk(), MOST_FONTS), key=_plainness))


def _walk() -> Iterator[str]:
    for folder in FOLDERS:
        for place, _, names in os.walk(Path(folder).expanduser()):
            for name in sorted(names):
                if name.lower().endswith(ENDINGS):
                    yield str(Path(place) / name)


def _plainness(path: str) -> tuple[bool, ...]:
    name = Path(path).stem.lower()
    fancy = ("italic", "oblique", "bold", "black", "light", "thin", "condensed", "narrow", "mono")
    return any(word in name for word in fancy), "sans" not in name, "serif" in name


def _has(font: FreeTypeFont, sign: str) -> bool:
    """Whether a font has a sign: what it draws is not what it draws for a sign it lacks."""
    if sign.isspace():
        return True
    plain = _unshaped(font)
    here, absent = plain.getmask(sign), plain.getmask(ABSENT)
    return (here.size, bytes(here)) != (absent.size, bytes(absent))


@lru_cache(maxsize=64)
def _unshaped(font: FreeTypeFont) -> FreeTypeFont:
    """The font without shaping, which puts a circle below a mark that stands alone."""
    from PIL import ImageFont

    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
