"""Names of the files that describe a video."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import PurePath

LONGEST_STEM_BYTES = 80
LONGEST_NAME_BYTES = 255
_CONTROLS = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def file_name(
    source: str | os.PathLike[str], extension: str, *, keep_extension: bool = False
) -> str:
    """The name of a file about a video: "movie.mkv" -> "movie.vidattn.json".

    keep_extension: "movie.mkv.vidattn.json", to tell movie.mkv from movie.mp4 in one folder. A name
    that is too long, or holds control characters or bytes that are not text, is shortened or
    cleaned and gets 16 digits of its SHA-256, so that different names stay different.
    """
    path = PurePath(source)
    stem = (path.name if keep_extension else path.stem) or "video"
    ending = f".vidattn.{extension.removeprefix('.')}"
    clean = re.sub(_CONTROLS, "_", stem)
    if clean == stem and len(f"{stem}{ending}".encode()) <= LONGEST_NAME_BYTES:
        return stem + ending
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{_shorten(clean, LONGEST_STEM_BYTES)}-{digest}{ending}"


def excerpt_name(source: str | os.PathLike[str], number: int, count: int, label: str) -> str:
    """The name of an excerpt: "movie.03.pan-right.mp4", the third of 10 to 99.

    Characters of a label other than letters, digits and . _ + become hyphens; long labels are
    shortened.
    """
    stem = file_name(source, "mp4").removesuffix(".vidattn.mp4")
    word = _shorten(re.sub(r"[^\w.+]+", "-", label).strip("-."), LONGEST_STEM_BYTES)
    short = _shorten(stem, LONGEST_NAME_BYTES - 100)
    return f"{short}.{number:0{max(2, len(str(count)))}d}.{word or 'label'}.mp4"


def _shorten(text: str, most_bytes: int) -> str:
    return text.encode("utf-8", "ignore")[:most_bytes].decode("utf-8", "ignore")
