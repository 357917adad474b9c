"""Weights from the network into a cache: whole, checked, once.

A download goes to a `.part` file under a lock, resumes where it broke off, is compared with the
size the server promised and the sha256 the catalog knows, and gets its name last. So a name in the
cache always stands for a whole file, also when two processes want it, one is killed, or the power
goes. A disk that is full is not a network that fails: nothing stands in for weights that would have
been there.
"""

from __future__ import annotations

import errno
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.errors

from vidattn.errors import OutputError, WeightsError
from vidattn.io.digest import sha256 as digest_of
from vidattn.io.digest import sha256_file
from vidattn.io.files import publish
from vidattn.io.locks import locked

CONNECT_SECONDS = 5.0
"""A machine without a network learns so fast, and goes on with the bundled model."""
READ_SECONDS = 30.0
ATTEMPTS = 4
CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that is full, or broken."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are so far, and those there will be if the server says so."""


class UnavailableError(WeightsError):
    """Weights that are not on this machine and could not be downloaded."""


def is_offline(offline: bool = False) -> bool:
    """Whether nothing may be downloaded: asked for, or by HF_HUB_OFFLINE in the environment."""
    return offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def cache_folder() -> Path:
    """$VIDATTN_CACHE, or ~/.cache/vidattn."""
    chosen = os.environ.get("VIDATTN_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "vidattn"


def cache_path(url: str) -> Path:
    """Where in the cache the file behind a URL lies or will lie."""
    name = Path(urllib.parse.urlparse(url).path).name or "download"
    return cache_folder() / "weights" / f"{digest_of(url, 8)}-{name}"


def is_cached(where: str) -> bool:
    """Whether the file behind a URL, or the weights behind a hub id, are on this machine."""
    if where.startswith("https://"):
        return cache_path(where).exists()
    names = ("model.safetensors", "pytorch_model.bin")
    found = (huggingface_hub.try_to_load_from_cache(where, name) for name in names)
    return any(isinstance(path, str) for path in found)


def download(
    url: str, *, sha256: str = "", offline: bool = False, progress: Progress | None = None
) -> Path:
    """The file behind a URL, from the cache or the network.

    sha256: the digest or its first digits; empty when unknown. Raises UnavailableError when the
    file is not in the cache and cannot be had, is a web page, cut off, or not the one expected, and
    OutputError when the disk is full.
    """
    path = cache_path(url)
    if path.exists():
        return path
    if is_offline(offline):
        raise UnavailableError("not downloaded yet, and offline", hint=manual_hint(url))
    try:
        with locked(path.with_name(path.name + ".lock")):
            if not path.exists():
                part = _fetched(url, path.with_name(path.name + ".part"), progress)
                _require_digest(part, sha256, url)
                publish(part, path)
    except OSError as error:
        raise _unwritable(path.parent, error, "VIDATTN_CACHE") from error
    return path


def _unwritable(folder: Path, error: OSError, variable: str) -> OutputError | UnavailableError:
    """A cache that is full is the user's to clear; one that may not be written is as good as none.

    variable: of the environment, which names another folder.
    """
    message = f"{folder}: cannot be written: {error.strerror}"
    hint = f"{variable} in the environment names another folder"
    if error.errno in FULL:
        return OutputError(message, hint=f"free some space there; or {hint}")
    return UnavailableError(message, hint=hint)


def _fetched(url: str, part: Path, progress: Progress | None) -> Path:
    """Fill `part` with all the bytes of `url`, in several attempts if need be."""
    reason = ""
    for _ in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            missing = _continue(url, part, progress)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing after what we have: another file by now, or a whole one
                part.unlink(missing_ok=True)
                continue
            reason = f"{error.code} {error.reason}"
            break
        except (http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in FULL:  # no network says that
                _keep(part)
                raise
            reason = _reason(error)
            if not part.exists():  # never connected: trying again would only take longer
                break
        else:
            if not missing:
                return part
            reason = f"broke off {missing:,} bytes before the end"
        if part.exists() and part.stat().st_size <= before:
            break
    kept = "what has arrived is kept, the same command goes on from there; or " * _keep(part)
    raise UnavailableError(
        f"cannot be downloaded from {_host(url)}: {reason}", hint=kept + manual_hint(url)
    )


def _tag(part: Path) -> Path:
    """Where the server's name for the version of a file lies while that is fetched."""
    return part.with_name(part.name + ".tag")


def _report_progress(tag: Path) -> str:
    return tag.read_text() if tag.exists() else ""


def _keep(part: Path) -> bool:
    """Whether a later run can go on with what has arrived; what it cannot is removed."""
    if part.exists() and part.stat().st_size and _report_progress(_tag(part)):
        return True
    for path in (part, _tag(part)):
        path.unlink(missing_ok=True)
    return False


def manual_hint(url: str) -> str:
    """What to do without a working network."""
    return f"get {url} by other means and name the file with -m, or: vidattn models import FILE"


def _host(url: str) -> str:
    return urllib.parse.urlparse(url).hostname or url


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None) or error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _continue(url: str, part: Path, progress: Progress | None) -> int:
    """One request for what is missing of `part`. Returns how many bytes are missing still."""
    there = part.stat().st_size if part.exists() else 0
    tag = _tag(part)
    headers = {"User-Agent": "vidattn", "Accept-Encoding": "identity"}
    if there and (told := _report_progress(tag)):
        headers |= {"Range": f"bytes={there}-", "If-Range": told}
    request = urllib.request.Request(url, headers=headers)
    with _opener().open(request, timeout=CONNECT_SECONDS) as response:
        if response.status != 206:
            there = 0
        _require_no_page(response, url)
        length = response.headers.get("Content-Length")
        total = there + int(length) if length and length.isdigit() else None
        with part.open("ab" if there else "wb") as file:
            tag.write_text(
                response.headers.get("ETag") or response.headers.get("Last-Modified", "")
            )
            there += _copy(response, file, there, total, progress)
    if total is None or there >= total:
        tag.unlink(missing_ok=True)
        return 0
    return total - there


def _copy(
    response: Any, file: Any, there: int, total: int | None, progress: Progress | None
) -> int:
    copied = 0
    while chunk := response.read1(CHUNK):
        file.write(chunk)
        copied += len(chunk)
        if progress:
            progress(there + copied, total)
    return copied


def _require_no_page(response: Any, url: str) -> None:
    """A dead link often answers 200 with a page for people."""
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise UnavailableError(
            f"{_host(url)} sent a web page instead of the file", hint=manual_hint(url)
        )


def _require_digest(part: Path, sha256: str, url: str) -> None:
    with part.open("rb") as file:
        start = file.read(16).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        part.unlink()
        raise UnavailableError(
            f"{_host(url)} sent a web page instead of the file", hint=manual_hint(url)
        )
    digest = sha256_file(part)
    if not digest.startswith(sha256.lower()):
        part.unlink()
        raise UnavailableError(
            f"{_host(url)} sent another file: its sha256 is {digest[:16]}..., "
            f"not {sha256}; deleted",
            hint="try again; if it stays so, the file behind the link has changed",
        )


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: Any) -> Any:
        return self.do_open(_connection(http.client.HTTPSConnection), request)


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: Any) -> Any:
        return self.do_open(_connection(http.client.HTTPConnection), request)


def _connection(
    kind: type[http.client.HTTPConnection],
) -> Callable[..., http.client.HTTPConnection]:
    """A connection that is impatient to connect and patient to read."""

    class Connection(kind):  # type: ignore[valid-type, misc]
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(READ_SECONDS)

    return Connection


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Http, _Https)


def download_folder(hub_id: str, *, offline: bool = False) -> Path:
    """The folder of a model on the Hugging Face hub: its configuration, and its weights.

    It lies in the hub's own cache, where other libraries find it too. Raises UnavailableError.
    """
    folder = _snapshot(hub_id, ["*.json", "README.md", "model.safetensors"], offline=offline)
    if not (folder / "model.safetensors").exists():
        folder = _snapshot(hub_id, ["pytorch_model.bin"], offline=offline)
    return folder


def _snapshot(hub_id: str, patterns: list[str], *, offline: bool) -> Path:
    # The hub's client lets the errors of its HTTP library through, and that has changed over time.
    network: Any = huggingface_hub.errors.HfHubHTTPError.__bases__
    cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
    try:
        folder = huggingface_hub.snapshot_download(
            hub_id,
            allow_patterns=patterns,
            local_files_only=is_offline(offline),
            etag_timeout=CONNECT_SECONDS,
        )
    except (OSError, ValueError, *network) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise _unwritable(cache, error, "HF_HUB_CACHE") from error
        host = _host(huggingface_hub.constants.ENDPOINT)  # HF_ENDPOINT in the environment
        message = f"cannot be downloaded from {host}: {_root_reason(error)}"
        if is_offline(offline):
            message = "not downloaded yet, and offline"
        hint = f"where there is a network: hf download {hub_id}; name the folder in its place"
        raise UnavailableError(message, hint=hint) from error
    return Path(folder)


def _root_reason(error: BaseException) -> str:
    """The first line of the error that started it all: the outer ones only say it was so."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return (_reason(error).strip().splitlines() or [type(error).__name__])[0][:200]
