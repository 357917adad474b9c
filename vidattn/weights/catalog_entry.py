"""What the catalog knows of a published model."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTES = {
    "divided": 487, "joint": 344, "space": 344, "stam": 477, "i3d-r50": 112,
    "slowfast-r50-4x16": 138, "slowfast-r50-8x8": 139,
    "slowfast-r101-8x8": 252, "slowfast-r101-16x8": 216,
    "x3d-xs": 15, "x3d-s": 15, "x3d-m": 15, "x3d-l": 25, "tsm-r50": 98, "tsm-r50-nl": 127,
}  # fmt: skip
"""The size of the weights of each shape in float32; a published file may hold more."""


@dataclass(frozen=True)
class WeightsSource:
    """A place that has the weights of a model."""

    location: str
    """A URL, or a Hugging Face hub id (owner/name)."""
    sha256: str = ""
    """The digest of the file, or its first digits, if published."""
    note: str = ""
    """What is to be known of weights from there."""

    @property
    def is_url(self) -> bool:
        """Whether `location` is a URL."""
        return self.location.startswith(("https://", "http://"))


@dataclass(frozen=True)
class CatalogEntry:
    """A model that can be loaded by name."""

    name: str
    location: str
    """A URL, a Hugging Face hub id (owner/name), or the name of a bundled file."""
    frames: int
    """Frames per clip."""
    dataset: str
    """The training data: a name in `vidattn.config.labels.COUNTS`, "howto100m" or "motion"."""
    license: str
    frame_interval: int = 0
    """Frame step at 30 fps; 0: spread over the whole video, or as given in the file."""
    size: int = 224
    """Side in pixels of the crop that `views` were scored with."""
    attention: str = "divided"
    """The scheme of a TimeSformer, "stam", or a name in `vidattn.models.classifier.VARIANTS`."""
    top1: float | None = None
    """Published accuracy in percent, for `views`."""
    top5: float | None = None
    views: str = "3x1"
    sha256: str = ""
    """The digest of the file at `location`, or its first digits, if published."""
    channels: str = "rgb"
    note: str = ""
    source_note: str = ""
    """As `note`, but of weights from `location` alone."""
    mirrors: tuple[WeightsSource, ...] = ()
    """Other places with the same weights, in the order in which they are tried."""

    @property
    def sources(self) -> tuple[WeightsSource, ...]:
        """All places with the weights, in the order in which they are tried."""
        if self.is_bundled:
            return ()
        return (WeightsSource(self.location, self.sha256, self.source_note), *self.mirrors)

    @property
    def is_bundled(self) -> bool:
        """Whether the weights ship with the package."""
        return "/" not in self.location

    @property
    def megabytes(self) -> int:
        """The size of the weights, about."""
        return 1 if self.is_bundled else MEGABYTES[self.attention]

    @property
    def expect(self) -> str:
        """The published score, such as "k400 top-1 77.69, top-5 93.45 (views 3x1)"."""
        if self.top1 is None:
            return ""
        top5 = "" if self.top5 is None else f", top-5 {self.top5:g}"
        return f"{self.dataset} top-1 {self.top1:g}{top5} (views {self.views})"
