"""The box at the end of a video that tells what it was made of."""

import os
from pathlib import Path

import pytest

from tests.video.helpers import TICKS, write_numbered
from vidattn.video import open_video
from vidattn.video.writer.fingerprint import add_fingerprint, has_fingerprint

THIS, OTHER = bytes(range(32)), bytes(32)


def test_a_fingerprinted_video_plays_as_before(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", *TICKS["25"], sound="aac")
    with open_video(path) as video:
        facts, times = video.details, video.times.tolist()
    assert not has_fingerprint(path, THIS)
    add_fingerprint(path, THIS)
    assert has_fingerprint(path, THIS)
    with open_video(path) as video:
        assert (video.details, video.times.tolist()) == (facts, times)
        assert not video.unreadable


@pytest.mark.parametrize("content", [b"", b"a video"])
def test_a_fingerprint_notices_truncation_and_changes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    add_fingerprint(path, THIS)
    whole = path.read_bytes()
    assert has_fingerprint(path, THIS)
    assert not has_fingerprint(path, OTHER)
    for damaged in (whole[:-1], content, b"", whole + b"!", b"!" + whole, whole[1:], whole + whole):
        path.write_bytes(damaged)
        assert not has_fingerprint(path, THIS)
    assert not has_fingerprint(tmp_path / "gone.mp4", THIS)
    assert not has_fingerprint(os.fspath(tmp_path), THIS)
