"""Weights from several hosts, each with a fault of its own, and mirrors of them."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest

from tests.weights.test_download import BODY, DIGEST, Server, server
from vidattn.errors import UsageError, WeightsError
from vidattn.weights import download, sources
from vidattn.weights.catalog import CATALOG, CatalogEntry, WeightsSource
from vidattn.weights.download import UnavailableError

__all__ = ["server"]

ENTRY = CATALOG["timesformer-k400"]


def entry_of(*locations: str, sha256: str = "") -> CatalogEntry:
    return replace(ENTRY, sources=tuple(WeightsSource(place, sha256) for place in locations))


@pytest.fixture
def expired(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a trusted host whose certificate has expired."""
    pem = Path(__file__).with_name("expired.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with Server() as one:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        one.socket = context.wrap_socket(one.socket, server_side=True)
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        yield f"https://127.0.0.1:{one.server_port}/good.pth"
        one.shutdown()


FAULTS = {
    "missing.pth": "404 Not Found",
    "stalls-at-once": "timed out",
    "page.pth": "sent a web page instead of the file",
    "login.pth": "sent a web page instead of the file",
    "lies": "broke off 1,000 bytes before the end",
    "short": "sent another file: its sha256 is",
    "other": "sent another file: its sha256 is",
}
"""The faults of a host, and what is said of them."""


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_source_follows_a_faulty_one(
    fault: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "READ_SECONDS", 0.5)
    begun: list[str] = []
    entry = entry_of(server.url(fault), server.url("good.pth"), sha256=DIGEST)
    path, source = sources.fetch(entry, announce=lambda one: begun.append(str(one)))
    assert path.read_bytes() == BODY
    assert source.location == server.url("good.pth")
    text = "timesformer-k400 (Apache-2.0, about 487 MB) from 127.0.0.1"
    assert begun[0] == text
    assert begun[1].startswith(f"{text}; before it: 127.0.0.1")
    assert FAULTS[fault] in begun[1]


def test_an_expired_certificate_and_a_host_that_is_gone_are_named(
    expired: str, server: Server, tmp_path: Path
) -> None:
    gone = "https://127.0.0.1:9/gone.pth"
    path, _ = sources.fetch(entry_of(gone, expired, server.url("good.pth")))
    assert path.read_bytes() == BODY
    with pytest.raises(UnavailableError) as caught:
        sources.fetch(entry_of(gone, f"{expired}-2", server.url("missing")))
    assert caught.value.message == (
        "127.0.0.1: Connection refused; 127.0.0.1: its certificate is not valid: certificate has "
        "expired; 127.0.0.1: 404 Not Found"
    )


def test_the_first_digest_is_pinned_and_another_file_refused(server: Server) -> None:
    entry = entry_of(server.url("changes.pth"))
    path, _ = sources.fetch(entry)
    path.unlink()  # as whoever clears the cache
    with pytest.raises(UnavailableError) as caught:
        sources.fetch(entry)
    other = hashlib.sha256(BODY[::-1]).hexdigest()
    assert f"its sha256 is {other}, that of the first download was {DIGEST}" in caught.value.message
    Path((caught.value.hint or "").rpartition("delete ")[2]).unlink()
    assert sources.fetch(entry)[0].read_bytes() == BODY[::-1]


def test_a_mirror_folder_is_filled_checked_and_used_offline(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, folder = entry_of(server.url("good.pth"), sha256=DIGEST[:8]), tmp_path / "mirror"
    monkeypatch.setitem(CATALOG, entry.name, entry)
    place = folder / "timesformer-k400" / "good.pth"
    assert sources.copy_weights(entry, folder) == [place]
    assert sources.copy_weights(entry, folder) == [place]
    assert len(server.ranges) == 1
    assert (folder / "SHA256SUMS").read_text() == f"{DIGEST}  timesformer-k400/good.pth\n"
    assert list(sources.check_mirror(folder)) == [("timesformer-k400/good.pth", "")]
    monkeypatch.setenv("VIDATTN_MIRROR", str(folder))
    assert sources.fetch(entry, offline=True)[0] == place
    place.write_bytes(BODY[:-1])
    (_, reason), *_ = sources.check_mirror(folder)
    assert reason.endswith(f"listed is {DIGEST}")
    place.unlink()
    assert list(sources.check_mirror(folder)) == [("timesformer-k400/good.pth", "missing")]
    with pytest.raises(UnavailableError, match="VIDATTN_MIRROR: it lacks timesformer-k400; not "):
        sources.fetch(entry, offline=True)


def test_a_list_of_digests_that_leads_out_of_the_mirror_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{DIGEST}  ../other\n")
    with pytest.raises(WeightsError, match="not a list of digests"):
        list(sources.check_mirror(tmp_path))


def test_a_mirror_comes_before_all_sources_and_its_password_is_never_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"http://me:s3cret%21@127.0.0.1:{server.server_port}/mirror/"
    monkeypatch.setenv("VIDATTN_MIRROR", base)
    begun: list[str] = []
    entry = entry_of("https://gone.invalid/good.pth", sha256=DIGEST)
    path, _ = sources.fetch(entry, announce=lambda one: begun.append(str(one)))
    assert path == download.cache_path("https://gone.invalid/good.pth")
    assert server.requested == ["/mirror/timesformer-k400/good.pth"]
    assert server.authorized == ["Basic " + base64.b64encode(b"me:s3cret!").decode()]
    entry = entry_of(server.url("other"), server.url("missing"), sha256=DIGEST)
    with pytest.raises(UnavailableError) as caught:
        sources.fetch(entry, announce=lambda one: begun.append(str(one)))
    assert server.requested[1] == "/mirror/timesformer-k400/other"
    texts = " ".join([*begun, str(caught.value), str(caught.value.hint)])
    assert "VIDATTN_MIRROR (127.0.0.1): sent another file" in texts
    assert "s3cret" not in texts
    assert "me:" not in texts
    assert "mirror/" not in texts


def test_a_mirror_behind_an_address_has_folders_of_the_hub_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_MIRROR", server.url("mirror"))
    folder, source = sources.fetch(entry_of("someone/theirs", server.url("good.pth")))
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert source.location == "someone/theirs"
    assert sources.fetch(entry_of("someone/theirs"), offline=True)[0] == folder


def test_a_mirror_that_is_none_is_a_usage_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_MIRROR", "/no/such/folder")
    with pytest.raises(UsageError, match="VIDATTN_MIRROR: there is no such folder"):
        sources.fetch(entry_of(server.url("good.pth")))


def test_a_mirror_may_be_an_organization_of_the_hub(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, object]] = []

    def snapshot(hub_id: str, *, allow_patterns: list[str], **_: object) -> str:
        asked.append((hub_id, allow_patterns))
        (tmp_path / "stam_16.pth").write_bytes(BODY)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setenv("VIDATTN_MIRROR", "our-models")
    path, _ = sources.fetch(CATALOG["stam-16-k400"])
    assert path.read_bytes() == BODY
    assert asked == [("our-models/stam-16-k400", ["stam_16.pth"])]


def test_offline_asks_no_host_and_names_the_command(server: Server) -> None:
    with pytest.raises(UnavailableError, match="not downloaded yet, and offline") as caught:
        sources.fetch(entry_of(server.url("good.pth")), offline=True)
    assert server.requested == []
    assert "vidattn models download timesformer-k400" in (caught.value.hint or "")
