"""The installation: torch, CPU, GPUs, video readers, sandbox, cached weights, network."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vidattn.io.text import count_noun
from vidattn.video.process.child import available_layers
from vidattn.video.protocol import LAYERS
from vidattn.video.readers import READERS

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8")
HUB = ("huggingface.co", 443)
PATIENCE_SECONDS = 2.0


def system_info(*, offline: bool) -> dict[str, Any]:
    """The installation as plain values. offline: do not try the network."""
    import torch

    from vidattn.io.cache import cache_folder
    from vidattn.weights import catalog, download, sources

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cached = [e.name for e in catalog.CATALOG.values() if not e.is_bundled]
    entries, layers = catalog.CATALOG, available_layers()
    return {
        "schema": "vidattn/installation/1",
        "vidattn": version("vidattn"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": {
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "flags": _flags(),
        },
        "cuda": cuda,
        "mps": torch.backends.mps.is_available(),
        "readers": {name: _version(reader.package) for name, reader in READERS.items()},
        "sandbox": {name: name in layers for name in LAYERS},
        "cache": str(cache_folder()),
        "models": [
            *[name for name, entry in entries.items() if entry.is_bundled],
            *[name for name in cached if sources.find_local(entries[name])],
        ],
        "network": _network(download.is_offline(offline)),
    }


def describe_system(info: dict[str, Any]) -> Iterator[str]:
    """The installation as lines of text."""
    cpu = info["cpu"]
    devices = [*info["cuda"], *(["mps"] if info["mps"] else [])]
    yield f"vidattn   {info['vidattn']}, Python {info['python']}, torch {info['torch']}"
    yield (
        f"cpu       {count_noun(cpu['cores'], 'core')}, {count_noun(cpu['threads'], 'thread')}, "
        f"torch uses {cpu['capability']}; has {' '.join(cpu['flags']) or 'no wide vectors'}"
    )
    yield f"devices   {', '.join(['cpu', *devices])}"
    readers = (f"{name} {number or 'missing'}" for name, number in info["readers"].items())
    yield f"readers   {', '.join(readers)}"
    layers = (name if held else f"no {name}" for name, held in info["sandbox"].items())
    yield f"sandbox   {', '.join(layers)}"
    yield f"cache     {info['cache']}"
    yield f"models    {', '.join(info['models'])}"
    yield f"network   {info['network']}"


def _flags() -> list[str]:
    """The instruction sets of `FLAGS` that the CPU has; Linux only."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    lines = (line.split(":", 1)[1].split() for line in text.splitlines() if line[:5] == "flags")
    available = set(next(lines, []))
    return [flag for flag in FLAGS if flag in available]


def _version(package: str) -> str | None:
    for name in (package, f"{package}-headless"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _network(offline: bool) -> str:
    if offline:
        return "not to be used"
    try:
        with socket.create_connection(HUB, timeout=PATIENCE_SECONDS):
            return f"{HUB[0]} can be reached"
    except OSError as error:
        return f"{HUB[0]} cannot be reached: {error.strerror or error}"
