"""Distributed training; a single process is a world of size 1.

Ranks come from the environment that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and
MASTER_PORT. Processes communicate through gloo on CPUs and NCCL on CUDA.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as torch_dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from vidattn.config.run_options import RunOptions
from vidattn.errors import DistributedError, UsageError

PEER_TIMEOUT, STARTUP_TIMEOUT = RunOptions.timeout, 120.0
"""Seconds that a process waits for the others before it gives up: at work, and at the start."""
LOST_PEER_WORDS = ("gloo", "NCCL", "Connection closed", "Connection reset", "TCPStore", "Socket")
"""Words in error messages of torch that mean: another process is gone."""


def read_ranks(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Rank, number of processes, and rank on this machine.

    Raises UsageError when RANK is set without the others.
    """
    if "RANK" not in environment:
        return 0, 1, 0
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    try:
        rank, size, local = (int(environment[name]) for name in names)
    except (KeyError, ValueError):
        raise UsageError(
            "RANK is set, but WORLD_SIZE or LOCAL_RANK is not a number",
            hint="start with torchrun, or with --nproc N",
        ) from None
    return rank, size, local


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Sum each value over all processes, in float64."""
        return self._all_reduce(values, torch_dist.ReduceOp.SUM)

    def all_reduce_max(self, value: int) -> int:
        """The maximum over all processes."""
        return int(self._all_reduce((value,), torch_dist.ReduceOp.MAX)[0])

    def _all_reduce(self, values: Sequence[float], operation: Any) -> list[float]:
        if self.size == 1:
            return [float(value) for value in values]
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        row = torch.tensor(values, dtype=dtype, device=self.device)
        with translate_dist_errors():
            torch_dist.all_reduce(row, operation)
        return [float(value) for value in row.tolist()]

    def all_gather(self, rows: Tensor) -> Tensor:
        """Concatenate the rows [n, ...] of all processes: [sum of n, ...], on the CPU."""
        if self.size == 1:
            return rows.cpu()
        rows = rows.to(self.device).contiguous()
        mine = (len(rows) if rank == self.rank else 0 for rank in range(self.size))
        counts = [int(count) for count in self.all_reduce_sum(*mine)]
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        with translate_dist_errors():
            torch_dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)]).cpu()

    def all_gather_objects(self, plain: Sequence[Any]) -> list[Any]:
        """Concatenate the JSON values of all processes, in order of rank."""
        if self.size == 1:
            return list(plain)
        lines = "".join(json.dumps(value) + "\n" for value in plain).encode()
        gathered = self.all_gather(torch.tensor(list(lines), dtype=torch.uint8))
        return [json.loads(line) for line in bytes(gathered.tolist()).splitlines()]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes (DDP), unless it is sharded."""
        if self.size == 1 or is_sharded(network):
            return network
        with translate_dist_errors():
            wrapped = DistributedDataParallel(network)
        if self.device.type == "cpu":
            wrapped.register_comm_hook(
                self.size, lambda size, bucket: _average_in_order(bucket.buffer(), size)
            )
        return wrapped

    def shard(self, network: nn.Module, blocks: Iterable[nn.Module]) -> None:
        """Shard parameters, gradients and optimizer state over the processes (FSDP2)."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard  # takes a second to load

        # Blocks return views, which nothing modifies in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        with translate_dist_errors():
            mesh = init_device_mesh(self.device.type, (self.size,))
            for block in blocks:
                fully_shard(block, mesh=mesh)
            fully_shard(network, mesh=mesh)


def _average_in_order(mine: Tensor, size: int) -> torch.futures.Future[Tensor]:
    """Average gradients, added up in order of rank.

    The ring of gloo adds in an order that depends on the position in a bucket, which changes after
    the first step of a process: a resumed run would not be reproducible.
    """
    parts = [torch.empty_like(mine) for _ in range(size)]
    torch_dist.all_gather(parts, mine)
    total = parts[0]
    for part in parts[1:]:
        total += part
    mean: torch.futures.Future[Tensor] = torch.futures.Future()
    mean.set_result(total / size)
    return mean


@contextmanager
def join_world(device: torch.device, timeout: float = PEER_TIMEOUT) -> Iterator[World]:
    """Join the other processes, and leave them at the end.

    Each uses the CUDA device of its local rank, unless `device` names one. An existing process
    group is used and left as it is. timeout: seconds without an answer from a process after which
    the others raise DistributedError.
    """
    rank, size, local = read_ranks(os.environ)
    if size > 1 and device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1 or torch_dist.is_initialized():
        yield World(rank, size, device)
        return
    with translate_dist_errors():
        # Some take longer to load than others: the start needs more patience than work.
        startup = timedelta(seconds=max(timeout, STARTUP_TIMEOUT))
        store, _, _ = next(rendezvous("env://", rank, size, timeout=startup))
        torch_dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout),
            device_id=device if device.type == "cuda" else None,
        )
    try:
        yield World(rank, size, device)
    finally:
        torch_dist.destroy_process_group()


@contextmanager
def translate_dist_errors() -> Iterator[None]:
    """Raise DistributedError where torch reports that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        words = any(word in text for word in LOST_PEER_WORDS)
        if not isinstance(error, torch_dist.DistError) and not words:
            raise
        rank, size, _ = read_ranks(os.environ)
        first = text.splitlines()[0] if text else type(error).__name__
        raise DistributedError(
            f"process {rank} of {size} lost the others: {first}",
            hint="checkpoints are valid: add --resume to continue from the last one",
        ) from error


def is_sharded(network: nn.Module) -> bool:
    """Whether `World.shard` was applied."""
    return hasattr(network, "set_requires_gradient_sync")


def unshard(tensor: Tensor) -> Tensor:
    """The full tensor of a sharded one; all processes must call this."""
    value: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return value


def shard_like(tensor: Tensor, like: Any) -> Tensor:
    """Shard a full tensor, the same in all processes, like `like`."""
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    value: Tensor = distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return value
