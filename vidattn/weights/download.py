"""Weights from the network into a cache: complete, checked, downloaded once.

A download goes to a `.part` file under a lock, resumes after an interruption, is compared with the
size promised by the server, the sha256 of the catalog and that of the first download, and is
renamed last: a name in the cache always stands for a complete file, whatever happens to processes
or power. Few authors publish the digest of their weights; that of the first download therefore
stays in the cache, also when the weights are deleted, and another file is refused. A full disk is
an error of its own: no other model stands in for weights that the network would have delivered.
Messages name hosts: an address may hold a password.
"""

from __future__ import annotations

import base64
import errno
import http.client
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.errors

from vidattn.errors import OutputError, WeightsError
from vidattn.io.cache import cache_folder
from vidattn.io.files import (
    CHUNK,
    is_file,
    open_output,
    publish,
    read_file,
    sha256,
    sha256_file,
    write_atomically,
)
from vidattn.io.locks import locked

CONNECT_SECONDS = 5.0
"""Short, so that a machine without a network soon falls back to the bundled model."""
READ_SECONDS = 20.0
"""The longest silence of a server."""
ATTEMPTS = 4
HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The names of weights on the hub; the first that is there is taken."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""The errors of a full or broken disk."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes received so far and the total, if the server gives it."""


class UnavailableError(WeightsError):
    """Weights that are not on this machine and cannot be downloaded."""


def is_offline(offline: bool = False) -> bool:
    """Whether downloads are off, by argument or by HF_HUB_OFFLINE in the environment."""
    return offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def cache_path(url: str) -> Path:
    """The path in the cache of the file behind a URL, whether it is there or not."""
    name = Path(urllib.parse.urlparse(url).path).name or "download"
    return cache_folder() / "weights" / f"{sha256(url, 8)}-{name}"


def download(
    url: str,
    *,
    sha256: str = "",
    path: Path | None = None,
    origin: str = "",
    offline: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The file behind a URL, from the cache or the network.

    sha256: the digest or its first digits; empty if unknown. path: the place of the file, by
    default in the cache. origin: the location of the same file in the catalog, if `url` is a copy.
    Raises UnavailableError when the file is not there and cannot be downloaded, or is a web page,
    cut off, or another file; OutputError when the disk is full.
    """
    path = path or cache_path(origin or url)
    if path.exists():
        return path
    if is_offline(offline):
        raise UnavailableError("not downloaded yet, and offline", hint=manual_hint(origin or url))
    try:
        with locked(path.with_name(path.name + ".lock")):
            if not path.exists():
                part = _Part(path.with_name(path.name + ".part"))
                _fetch(url, part, progress)
                _check_content(part, sha256, url, origin or url)
                publish(part.path, path)
    except OSError as error:
        raise _cache_error(path.parent, error, "VIDATTN_CACHE") from error
    return path


def _cache_error(folder: Path, error: OSError, variable: str) -> OutputError | UnavailableError:
    """OutputError for a full disk, which the user can clear; UnavailableError for other failures.

    variable: the environment variable that selects another folder.
    """
    message = f"{folder}: cannot be written: {error.strerror}"
    hint = f"set {variable} in the environment to another folder"
    if error.errno in FULL:
        return OutputError(message, hint=f"free some space there, or {hint}")
    return UnavailableError(message, hint=hint)


class _Part:
    """A partial download; beside it, while it grows, lies the version tag of the server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tag_path = path.with_name(path.name + ".tag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def tag(self) -> str:
        return self.tag_path.read_text() if self.tag_path.exists() else ""

    @tag.setter
    def tag(self, tag: str) -> None:
        with os.fdopen(open_output(self.tag_path, os.O_WRONLY | os.O_TRUNC), "w") as file:
            file.write(tag)

    def keep_if_resumable(self) -> bool:
        """Whether a later run can resume; otherwise both files are removed."""
        if self.size and self.tag:
            return True
        self.path.unlink(missing_ok=True)
        self.tag_path.unlink(missing_ok=True)
        return False


def _fetch(url: str, part: _Part, progress: Progress | None) -> None:
    """Fill `part` with all bytes of `url`, in several attempts if needed."""
    reason = ""
    for _ in range(ATTEMPTS):
        size = part.size
        try:
            missing = _request_rest(url, part, progress)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing follows: the file has changed, or is complete
                part.path.unlink(missing_ok=True)
                continue
            reason = f"{error.code} {error.reason}"
            break
        except (http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in FULL:  # the disk, not the network
                part.keep_if_resumable()
                raise
            reason = _describe(error)
            if not part.path.exists():  # never connected: another attempt would only take longer
                break
        else:
            if not missing:
                return
            reason = f"broke off {missing:,} bytes before the end"
        if part.path.exists() and part.size <= size:
            break
    resumable = "run the same command again to resume; or " * part.keep_if_resumable()
    raise UnavailableError(f"{host_of(url)}: {reason}", hint=resumable + manual_hint(url))


def manual_hint(url: str) -> str:
    """A hint for machines without a working network."""
    parts = urllib.parse.urlsplit(url)
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return f"get {url} by other means and pass the file with -m, or: vidattn models import FILE"


def host_of(url: str) -> str:
    """The host of an address; other text as it is."""
    return urllib.parse.urlparse(url).hostname or url


def hub_host() -> str:
    """The host of the Hugging Face hub, or of the mirror in HF_ENDPOINT in the environment."""
    return host_of(huggingface_hub.constants.ENDPOINT)


def _describe(error: BaseException) -> str:
    inner = getattr(error, "reason", None) or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {inner.verify_message}"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _request_rest(url: str, part: _Part, progress: Progress | None) -> int:
    """Request the missing bytes of `part` once. Returns the number of bytes still missing."""
    size = part.size
    headers = {"User-Agent": "vidattn", "Accept-Encoding": "identity"}
    if size and part.tag:
        headers |= {"Range": f"bytes={size}-", "If-Range": part.tag}
    request = _make_request(url, headers)
    opener = urllib.request.build_opener(_Handler)
    with opener.open(request, timeout=CONNECT_SECONDS) as response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _web_page_error(url)  # many dead links answer 200 with a page
        if response.status != 206:
            size = 0
        length = response.headers.get("Content-Length")
        total = size + int(length) if length and length.isdigit() else None
        flags = os.O_WRONLY | (os.O_APPEND if size else os.O_TRUNC)
        with os.fdopen(open_output(part.path, flags), "ab") as file:
            tag = response.headers.get("ETag") or response.headers.get("Last-Modified", "")
            part.tag = tag
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                size += len(chunk)
                if progress:
                    progress(size, total)
    if total is None or size >= total:
        part.tag_path.unlink(missing_ok=True)
        return 0
    return total - size


def _make_request(url: str, headers: dict[str, str]) -> urllib.request.Request:
    """The request for an address that may hold a user and a password, which no redirect gets."""
    parts = urllib.parse.urlsplit(url)
    user, _, server = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=server).geturl(), headers=headers)
    if user:
        token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _web_page_error(url: str) -> UnavailableError:
    message = f"{host_of(url)}: sent a web page instead of the file"
    return UnavailableError(message, hint=manual_hint(url))


def _check_content(part: _Part, sha256: str, url: str, origin: str) -> None:
    """Raise UnavailableError, and remove the download, for a web page or another file."""
    with part.path.open("rb") as file:
        start = file.read(16).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        part.path.unlink()
        raise _web_page_error(url)
    try:
        require_pinned(cache_path(origin), sha256_file(part.path), sha256)
    except WeightsError as error:
        part.path.unlink()
        message = f"{host_of(url)}: sent another file: {error.message}"
        raise UnavailableError(message, hint=error.hint) from error


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Connections with different time limits to connect and to read."""

    def http_open(self, request: Any) -> Any:
        return self.do_open(_make_connection(http.client.HTTPConnection), request)

    def https_open(self, request: Any) -> Any:
        return self.do_open(_make_connection(http.client.HTTPSConnection), request)


def _make_connection(
    kind: type[http.client.HTTPConnection],
) -> Callable[..., http.client.HTTPConnection]:
    class Connection(kind):  # type: ignore[valid-type, misc]
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(READ_SECONDS)

    return Connection


def download_folder(hub_id: str, *, offline: bool = False) -> Path:
    """The folder of a model on the Hugging Face hub: its configuration and its weights.

    It lies in the cache of the hub, shared with other libraries. Raises UnavailableError.
    """
    names = ["*.json", "README.md", HUB_WEIGHTS[0], "model-*.safetensors"]
    folder = download_files(hub_id, names, offline=offline)
    if not any(folder.glob("model*.safetensors")):
        folder = download_files(hub_id, [HUB_WEIGHTS[1]], offline=offline)
    return folder


def download_files(hub_id: str, patterns: list[str], *, offline: bool = False) -> Path:
    """The folder in the cache of the hub with those files of a model that fit the patterns.

    Raises UnavailableError, and OutputError when the disk is full.
    """
    # The client of the hub passes on errors of its HTTP library, which has changed over time.
    network: Any = huggingface_hub.errors.HfHubHTTPError.__bases__
    try:
        folder = huggingface_hub.snapshot_download(
            hub_id,
            allow_patterns=patterns,
            local_files_only=is_offline(offline),
            etag_timeout=CONNECT_SECONDS,
        )
    except (OSError, ValueError, *network) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
            raise _cache_error(cache, error, "HF_HUB_CACHE") from error
        message = f"{hub_host()}: {describe_root(error)}"
        if is_offline(offline):
            message = "not downloaded yet, and offline"
        hint = f"on a machine with a network: hf download {hub_id}; then pass the folder instead"
        raise UnavailableError(message, hint=hint) from error
    return Path(folder)


def describe_root(error: BaseException) -> str:
    """The first line of the innermost error of the hub's client: the outer ones only wrap it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return (_describe(error).strip().splitlines() or [type(error).__name__])[0][:200]


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
