"""What the catalog knows of a published model."""

from __future__ import annotations

from dataclasses import dataclass


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
    """The digest of the file, or its first digits, if published."""
    channels: str = "rgb"
    note: str = ""

    @property
    def is_url(self) -> bool:
        """Whether `location` is a URL."""
        return self.location.startswith("https://")

    @property
    def is_bundled(self) -> bool:
        """Whether the weights ship with the package."""
        return not self.is_url and "/" not in self.location

    @property
    def expect(self) -> str:
        """The published score, such as "k400 top-1 77.69, top-5 93.45 (views 3x1)"."""
        if self.top1 is None:
            return ""
        top5 = "" if self.top5 is None else f", top-5 {self.top5:g}"
        return f"{self.dataset} top-1 {self.top1:g}{top5} (views {self.views})"
