"""Digests that are pinned at first use: the same name stands for the same weights from then on.

Few authors publish the digest of their weights. The digest of the first download therefore stays
in the cache, also when the weights are deleted, and another file is refused.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from vidattn.errors import OutputError, WeightsError
from vidattn.io.files import is_file, read_file, write_atomically


def require_pinned(place: Path, sha256: str, published: str = "") -> None:
    """Raise WeightsError for weights other than the published or the first ones.

    place: of the weights in the cache. sha256: the digest of the weights at hand. published: the
    digest according to the catalog, or its first digits. A first digest is pinned where the cache
    can be written.
    """
    if not sha256.startswith(published.lower()):
        hint = "try again; if the digest stays the same, the file behind the link has changed"
        raise WeightsError(f"its sha256 is {sha256}, published is {published}", hint=hint)
    pin = place.parent.parent / "pins" / f"{place.name}.sha256"
    if not is_file(pin):
        with suppress(OutputError):
            write_atomically(pin, f"{sha256}\n".encode())
        return
    pinned = read_file(pin, 1000).decode("ascii", "replace").strip()
    if pinned != sha256:
        message = f"its sha256 is {sha256}, that of the first download was {pinned}"
        hint = f"if its authors have replaced it and you trust the new one, delete {pin}"
        raise WeightsError(message, hint=hint)
