"""Weights that are downloaded to a full disk: the disk is named, and no other model stands in."""

import subprocess
from pathlib import Path

import pytest

from tests.weights.test_download import BODY, DIGEST, Server, left, server
from vidattn import weights
from vidattn.errors import OutputError
from vidattn.weights import download as fetch

__all__ = ["server"]


@pytest.mark.parametrize("name", ["good", "nameless"])
def test_a_full_disk_is_named_and_the_part_saved(
    name: str, server: Server, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(small_disk / "cache"))
    with pytest.raises(
        OutputError, match=f"{small_disk}/cache/weights: cannot be written: No space left"
    ) as caught:
        fetch.download(server.url(name))
    assert caught.value.exit_code == 5
    assert "VIDATTN_CACHE" in (caught.value.hint or "")
    expected = [".part", ".part.tag"] if name == "good" else []
    assert left(small_disk) == [name + end for end in expected]
    subprocess.run(["mount", "-o", "remount,size=2M", str(small_disk)], check=True)
    assert fetch.download(server.url(name), sha256=DIGEST).read_bytes() == BODY
    assert (server.ranges[1] is not None) == (name == "good")


def test_a_disk_that_is_full_before_the_start_is_named(
    server: Server, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(small_disk))
    (small_disk / "filler").write_bytes(bytes(64 * 1024))
    with pytest.raises(OutputError, match="No space left"):
        fetch.download(server.url("good"))
    assert not list((small_disk / "weights").glob("*.part*"))


def test_nothing_replaces_weights_that_a_full_disk_could_not_store(
    server: Server, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = fetch.download
    monkeypatch.setattr(fetch, "download", lambda _, **rest: download(server.url("good"), **rest))
    monkeypatch.setenv("VIDATTN_CACHE", str(small_disk))
    with pytest.raises(OutputError, match="No space left"):
        weights.load_default()
