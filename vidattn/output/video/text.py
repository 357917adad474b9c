"""Text as pixels, in any script that a font of this computer has.

Pillow ships a font for ASCII, so that English labels look the same everywhere. For other text the
usual folders are searched for a font with all of it; characters that no font has are escaped.
"""

from __future__ import annotations

import os
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
SPACE = 0.3
"""Least width of a space, as a share of the font size."""
ABSENT = "\U0010ffff"
"""No font has it; fonts draw it as any character that they lack."""

Mask = NDArray[np.uint8]


class TextRenderer:
    """Draws text of one height."""

    def __init__(self, pixels: int) -> None:
        """pixels: the height of a line, from the top of an Å to the foot of a g."""
        self.pixels = pixels
        size = max(6, round(pixels * 0.8))
        self._size = size
        self.missing: set[str] = set()
        """Characters that were escaped because no font here has them."""

    def mask(self, text: str, room: int) -> Mask:
        """The coverage of each pixel by the text: uint8 [pixels, width], width <= room.

        Longer text ends in an ellipsis.
        """
        from PIL import Image, ImageDraw

        font, text = self._font(text)
        text = _shorten(font, text, room)
        words, length = _place_words(font, text)
        width = min(max(1, round(length) + 1), max(room, 1))
        image = Image.new("L", (width, self.pixels))
        ascent, descent = font.getmetrics()
        y = (self.pixels - ascent - descent) / 2 + ascent
        for x, word in words:
            ImageDraw.Draw(image).text((x, y), word, fill=255, font=font, anchor="ls")
        return np.asarray(image)

    def _font(self, text: str) -> tuple[FreeTypeFont, str]:
        """A font for a text, and the text as the font can show it."""
        if text.isascii():
            return _bundled_font(self._size), text
        path = _find_font(frozenset(text) - {" "})
        font = _bundled_font(self._size) if path is None else _load_font(path, self._size)
        lacks = {char for char in set(text) - {" "} if not _has(font, char)}
        self.missing |= lacks
        return font, "".join(ascii(char)[1:-1] if char in lacks else char for char in text)


def _place_words(font: FreeTypeFont, text: str) -> tuple[list[tuple[int, str]], float]:
    """The words of a text with their x, and its width; in one piece if it is not ASCII.

    Hinting makes the spaces of small letters too narrow to be seen.
    """
    if not text.replace(ELLIPSIS, "").isascii():
        return [(0, text)], font.getlength(text)
    space, x = max(font.getlength(" "), SPACE * font.size), 0.0
    words = []
    for word in text.split(" "):
        words.append((round(x), word))
        x += font.getlength(word) + space
    return words, x - space


def _shorten(font: FreeTypeFont, text: str, room: int) -> str:
    """The text, or as much of it as fits before an ellipsis."""
    if _place_words(font, text)[1] <= room:
        return text
    dots = ELLIPSIS if _has(font, ELLIPSIS) else "..."
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _place_words(font, text[:middle].rstrip() + dots)[1] <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + dots


@lru_cache(maxsize=8)
def _bundled_font(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@lru_cache(maxsize=8)
def _load_font(path: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, size)


@lru_cache(maxsize=64)
def _find_font(characters: frozenset[str]) -> str | None:
    """The font file with most of the characters, the plainest of several; None without any."""
    best, most = None, 0
    for path in _font_files():
        try:
            font = _load_font(path, 12)
        except OSError:
            continue
        count = sum(_has(font, char) for char in characters)
        if count > most:
            best, most = path, count
        if most == len(characters):
            break
    return best


@lru_cache(maxsize=1)
def _font_files() -> tuple[str, ...]:
    """Font files of this computer, upright sans serif ones of regular weight first."""
    files = (
        str(Path(place) / name)
        for folder in FOLDERS
        for place, _, names in os.walk(Path(folder).expanduser())
        for name in sorted(names)
        if name.lower().endswith(ENDINGS)
    )
    return tuple(sorted(islice(files, MOST_FONTS), key=_plainness))


def _plainness(path: str) -> tuple[bool, ...]:
    name = Path(path).stem.lower()
    fancy = ("italic", "oblique", "bold", "black", "light", "thin", "condensed", "narrow", "mono")
    return any(word in name for word in fancy), "sans" not in name, "serif" in name


def _has(font: FreeTypeFont, char: str) -> bool:
    """Whether a font has a character: it is not drawn like one that the font lacks."""
    if char.isspace():
        return True
    plain = _unshaped(font)
    here, absent = plain.getmask(char), plain.getmask(ABSENT)
    return (here.size, bytes(here)) != (absent.size, bytes(absent))


@lru_cache(maxsize=64)
def _unshaped(font: FreeTypeFont) -> FreeTypeFont:
    """The font without shaping, which adds a circle below a combining mark alone."""
    from PIL import ImageFont

    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
