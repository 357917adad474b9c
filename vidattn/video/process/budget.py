"""The time that one video may take in all, whatever its decoder says."""

from __future__ import annotations

from vidattn.video.protocol import Limits

TIMES_DURATION = 4
BYTES_PER_SECOND = 5e6
"""The slowest reading of a large file, over a network."""
USUAL_PIXELS = 1920 * 1080 * 30
"""In a second of video; more pixels may take more time."""
MAX_FACTOR = 16
MAX_FRAME_SECONDS = 1.0
"""A frame that is shown for longer takes no longer to decode."""


class TimeBudget:
    """Seconds that a caller waits for processes while one video is read."""

    def __init__(self, limits: Limits, file_bytes: int) -> None:
        """For opening a file, which may mean to read it all."""
        self._least = max(limits.decoding_seconds, file_bytes / BYTES_PER_SECOND)
        self.allowed, self.spent = self._least, 0.0
        self._frames, self._requested, self._once = 1, 0, self._least

    @property
    def left(self) -> float:
        """Seconds to go; below 0 at the end."""
        return self.allowed - self.spent

    def extend(self, frames: int, duration: float, pixels: int) -> None:
        """For decoding a video once; duration: seconds. pixels: of a frame."""
        factor = pixels * frames / (max(duration, 1e-3) * USUAL_PIXELS)
        seconds = min(duration, frames * MAX_FRAME_SECONDS)
        decoding = TIMES_DURATION * seconds * min(max(factor, 1.0), MAX_FACTOR)
        self._frames, self._once = frames, max(self._least, decoding)
        self.allowed = max(self.allowed, self._once)

    def request(self, frames: int) -> None:
        """For decoding so many frames; time is added when all of them came once."""
        self._requested += frames
        self.allowed = self._once * max(1.0, self._requested / self._frames)
