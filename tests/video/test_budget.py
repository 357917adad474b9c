"""The time that one video may take: enough for every honest decoder, and bounded for the others."""

from pathlib import Path

import pytest

from tests.video.helpers import decoders, refused, rehearse
from vidattn.video import Limits, open_video
from vidattn.video.process.child import TimeBudget
from vidattn.video.process.client import SupervisedVideo

HOUR, HD, UHD = 3600.0, 1920 * 1080, 3840 * 2160


@pytest.mark.parametrize(
    ("frames", "duration", "pixels", "seconds"),
    [
        (90, 3.0, HD, 120),
        (108_000, HOUR, HD, 4 * HOUR),
        (216_000, HOUR, UHD, 32 * HOUR),
        (216_000, HOUR, 100 * UHD, 64 * HOUR),
        (300, 81 * HOUR, HD, 1200),
    ],
    ids=["a clip", "an hour", "large frames", "huge frames", "a slide show"],
)
def test_the_time_for_a_video_follows_what_there_is_to_decode(
    frames: int, duration: float, pixels: int, seconds: float
) -> None:
    budget = TimeBudget(Limits(), file_bytes=10_000_000)
    assert budget.left == 120
    budget.extend(frames, duration, pixels)
    assert budget.left == pytest.approx(seconds)
    budget.request(frames)
    assert budget.left == pytest.approx(seconds)
    budget.request(frames)
    budget.spent = 5
    assert budget.left == pytest.approx(2 * seconds - 5)


def test_a_large_file_may_take_longer_to_open() -> None:
    assert TimeBudget(Limits(), file_bytes=100_000_000_000).left == 20_000


@pytest.mark.parametrize("moment", ["open", "frames"])
@pytest.mark.parametrize("fault", ["beat", "flood"])
def test_a_decoder_that_only_shows_signs_of_life_is_ended(
    fault: str, moment: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearse(monkeypatch, f"{fault}-{moment}")
    limits = Limits(decoding_seconds=0.5 if moment == "open" else 60)
    with (
        refused("E_TIMEOUT", "the decoder took more than"),
        open_video(small, limits=limits) as video,
    ):
        assert isinstance(video, SupervisedVideo)
        video._budget.spent = video._budget.allowed - 0.5
        video.read([3])
    assert not decoders()
