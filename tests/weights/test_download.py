"""Downloads from a server with every kind of fault."""

import errno
import hashlib
import http.server
import multiprocessing
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from vidattn.errors import OutputError
from vidattn.weights import download

BODY = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves BODY at any path, with the fault named in the path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.requested: list[str] = []
        self.authorized: list[str] = []
        self.lock = threading.Lock()
        self.patience = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """Ignore clients that hang up."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.ranges.append(self.headers["Range"])
            self.server.requested.append(self.path)
            if "Authorization" in self.headers:
                self.server.authorized.append(self.headers["Authorization"])
            count = len(self.server.ranges)
        body, tag = BODY, '"one"'
        if "login" in self.path:
            self.send_response(302)
            self.send_header("Location", "/page")
            self.end_headers()
            return
        if "stalls-at-once" in self.path:
            self.server.patience.wait(20)
            return
        if "other" in self.path or ("changes" in self.path and count > 1):
            body, tag = BODY[::-1], '"two"'
        start = 0
        paths = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if paths and self.headers["If-Range"] == tag:
            start = int(paths[1])
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(206 if start else 200)
        page = "page" in self.path
        self.send_header("Content-Type", "text/html" if page else "application/octet-stream")
        if "nameless" not in self.path:
            self.send_header("ETag", tag)
        rest = b"<!DOCTYPE html><p>gone" if "masked" in self.path else body[start:]
        length = len(rest) // 2 if "short" in self.path else len(rest)
        if "endless" not in self.path:
            self.send_header("Content-Length", str(length + 1000 * ("lies" in self.path)))
        self.end_headers()
        if "breaks" in self.path and count <= int(self.path[-1]):
            rest = rest[: len(rest) // 3]
        if "stalls" in self.path and count == 1:
            self.wfile.write(rest[: length // 2])
            self.wfile.flush()
            self.server.patience.wait(20)  # says nothing more, and does not hang up either
            return
        if "drips" in self.path:
            for begin in range(0, length, length // 7):
                self.server.patience.wait(0.02)
                self.wfile.write(rest[begin : begin + length // 7])
            return
        self.wfile.write(rest[:length])

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.patience.set()
        server.shutdown()


def left(cache: Path) -> list[str]:
    return sorted(p.name.split("-", 1)[1] for p in (cache / "cache" / "weights").iterdir())


def test_a_file_is_downloaded_completely_and_only_once(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download.download(
        server.url("good.pth"), sha256=DIGEST, progress=lambda *step: seen.append(step)
    )
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert download.download(server.url("good.pth"), offline=True) == path
    assert len(server.ranges) == 1
    assert left(tmp_path) == ["good.pth"]


def test_the_first_digits_of_a_digest_are_enough(server: Server) -> None:
    assert download.download(server.url("good.pth"), sha256=DIGEST[:8].upper()).exists()


def test_a_broken_connection_is_resumed(server: Server) -> None:
    assert download.download(server.url("breaks-2"), sha256=DIGEST).read_bytes() == BODY
    third = len(BODY) // 3
    assert server.ranges == [None, f"bytes={third}-", f"bytes={third + (len(BODY) - third) // 3}-"]


def test_a_later_run_resumes_a_partial_download(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        download.UnavailableError, match=r"broke off .* bytes before the end"
    ) as caught:
        download.download(server.url("breaks-4"), sha256=DIGEST)
    assert "run the same command again to resume" in (caught.value.hint or "")
    assert "breaks-4" not in left(tmp_path)
    assert download.download(server.url("breaks-4"), sha256=DIGEST).read_bytes() == BODY
    assert server.ranges[4] is not None


def test_a_slow_server_is_waited_for(server: Server) -> None:
    assert download.download(server.url("drips"), sha256=DIGEST).read_bytes() == BODY
    assert server.ranges == [None]


def test_a_silent_server_is_retried(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "READ_SECONDS", 0.5)
    assert download.download(server.url("stalls"), sha256=DIGEST).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={len(BODY) // 2}-"]


def test_a_file_that_changed_meanwhile_is_downloaded_again(server: Server) -> None:
    assert download.download(server.url("changes-breaks-1")).read_bytes() == BODY[::-1]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("lies", "broke off 1,000 bytes before the end"),
        ("short", "sent another file"),
        ("page.pth", "sent a web page instead of the file"),
        ("masked.pth", "sent a web page instead of the file"),
        ("missing", r"127\.0\.0\.1: 404 Not Found"),
    ],
)
def test_what_is_not_the_file_is_refused(
    fault: str, message: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(download.UnavailableError, match=message) as caught:
        download.download(server.url(fault), sha256=DIGEST if fault == "short" else "")
    assert left(tmp_path) == (["lies.part", "lies.part.tag"] if fault == "lies" else [])
    assert fault != "missing" or server.url("missing") in (caught.value.hint or "")


def test_a_file_without_content_length_is_checked_by_its_digest(server: Server) -> None:
    assert download.download(server.url("endless"), sha256=DIGEST).read_bytes() == BODY


def test_a_refused_connection_is_reported_at_once(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(download.UnavailableError, match=r"127\.0\.0\.1: Connection refused"):
        download.download(server.url("good.pth"))


@pytest.mark.parametrize("variable", [True, False])
def test_offline_never_connects(
    variable: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(download.UnavailableError, match="not downloaded yet, and offline"):
        download.download(server.url("good.pth"), offline=not variable)
    assert server.ranges == []


def test_an_unwritable_cache_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "file"))
    with pytest.raises(download.UnavailableError, match="cannot be written") as caught:
        download.download(server.url("good.pth"))
    assert "VIDATTN_CACHE" in (caught.value.hint or "")


def test_a_server_without_version_tags_is_started_over(server: Server, tmp_path: Path) -> None:
    with pytest.raises(download.UnavailableError, match="broke off") as caught:
        download.download(server.url("nameless-breaks-9"))
    assert "run the same command again to resume" not in (caught.value.hint or "")
    assert left(tmp_path) == []
    assert set(server.ranges) == {None}


def test_a_full_disk_is_named_during_a_hub_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OutputError, match="hub: cannot be written: No space left") as caught:
        download.download_folder("someone/model")
    assert "HF_HUB_CACHE" in (caught.value.hint or "")


def test_downloads_are_flushed(server: Server, tmp_path: Path, flushed: list[str]) -> None:
    path = download.download(server.url("good.pth"))
    cache = tmp_path / "cache"
    names = [name for name in flushed if "pins" not in name]
    assert names == [*map(str, (tmp_path, cache, cache, f"{path}.part", cache / "weights"))]


def _digest_of(url: str, digests: Any) -> None:
    digests.put(hashlib.sha256(download.download(url, sha256=DIGEST).read_bytes()).hexdigest())


def test_processes_share_one_download_of_a_file(server: Server) -> None:
    context = multiprocessing.get_context("spawn")
    digests = context.Queue()
    url = server.url("good.pth")
    workers = [context.Process(target=_digest_of, args=(url, digests)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert {digests.get(timeout=60) for _ in workers} == {DIGEST}
    for worker in workers:
        worker.join()
    assert server.ranges == [None]


def test_the_hub_may_be_a_mirror(server: Server, tmp_path: Path) -> None:
    """HF_ENDPOINT is read once, when the hub's client is loaded."""
    program = (
        "from vidattn.weights import download\n"
        "try: download.download_folder('someone/missing')\n"
        "except download.UnavailableError as error: print(error.message)"
    )
    places = {"HF_ENDPOINT": server.url("").rstrip("/"), "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **places, "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "127.0.0.1: " in done.stdout
    assert any(path.startswith("/api/models/someone/missing") for path in server.requested)
