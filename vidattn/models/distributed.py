"""Processes that train one model together; one alone is a world of one.

Who they are is read from the environment, as torchrun sets it: RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR and MASTER_PORT. They speak through gloo on CPUs and through NCCL on CUDA.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as torch_dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from vidattn.errors import DistributedError, UsageError

Strategy = Literal["ddp", "fsdp"]
SILENCE, ASSEMBLY = 120.0, 120.0
"""Seconds that one process waits for the others before it gives up: at work, and at the start."""
LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "TCPStore", "Socket")
"""Words in the messages with which torch says that another process has gone."""


def rank_of(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """This process's number, how many there are, and its number on this machine.

    Raises UsageError when the environment names a number and not the rest.
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


def share_of(size: int, number: int, of: int) -> range:
    """The part of `size` things in a row that falls to one of several, as even as can be.

    Where there are enough, it begins at an even place: partners in mixing stay together.
    """
    unit = 2 if size >= 2 * of else 1
    units = -(-size // unit)
    first, last = (units * n // of * unit for n in (number, number + 1))
    return range(first, min(last, size))


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that prints and writes."""
        return self.rank == 0

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Each value added up over all processes, in float64."""
        if self.size == 1:
            return [float(value) for value in values]
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        row = torch.tensor(values, dtype=kind, device=self.device)
        with translate_dist_errors():
            torch_dist.all_reduce(row)
        return [float(value) for value in row.tolist()]

    def all_reduce_max(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.size == 1:
            return value
        row = torch.tensor([value], device=self.device)
        with translate_dist_errors():
            torch_dist.all_reduce(row, torch_dist.ReduceOp.MAX)
        return int(row.item())

    def all_gather(self, rows: Tensor) -> Tensor:
        """Rows [n, ...] of all processes under one another, [sum of n, ...], on the CPU."""
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
        """What every process has to tell, as JSON can say it, in the order of their numbers."""
        if self.size == 1:
            return list(plain)
        lines = "".join(json.dumps(value) + "\n" for value in plain).encode()
        heard = self.all_gather(torch.tensor(list(lines), dtype=torch.uint8))
        return [json.loads(line) for line in bytes(heard.tolist()).splitlines()]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes, unless it is sharded."""
        if self.size == 1 or is_sharded(network):
            return network
        with translate_dist_errors():
            tied = DistributedDataParallel(network)
        if self.device.type == "cpu":
            tied.register_comm_hook(
                self.size, lambda size, bucket: _mean_in_order(bucket.buffer(), size)
            )
        return tied

    def shard(self, network: nn.Module, blocks: Iterable[nn.Module]) -> None:
        """Spread parameters, gradients and optimizer state over the processes (FSDP2)."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard  # takes a second to load

        # Blocks return views; nothing is ever done to them in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        with translate_dist_errors():
            mesh = init_device_mesh(self.device.type, (self.size,))
            for block in blocks:
                fully_shard(block, mesh=mesh)
            fully_shard(network, mesh=mesh)


def _mean_in_order(mine: Tensor, size: int) -> torch.futures.Future[Tensor]:
    """Mean gradients, added up in the order of the processes.

    The ring of gloo adds up in an order that depends on where in a bucket a gradient lies, and that
    differs between the first step of a process and later ones: a resumed run would not repeat.
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
def join_world(device: torch.device, silence: float = SILENCE) -> Iterator[World]:
    """Meet the other processes, and part from them at the end.

    Each takes the CUDA device of its number on its machine, unless `device` names one. A process
    group that exists already is used and left as it is. silence: seconds that one may keep the
    others waiting before they raise DistributedError.
    """
    rank, size, local = rank_of(os.environ)
    if size > 1 and device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1 or torch_dist.is_initialized():
        yield World(rank, size, device)
        return
    with translate_dist_errors():
        # Some take longer to load than others: patience at the start is not for work.
        patience = timedelta(seconds=max(silence, ASSEMBLY))
        store, _, _ = next(rendezvous("env://", rank, size, timeout=patience))
        torch_dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=silence),
            device_id=device if device.type == "cuda" else None,
        )
    try:
        yield World(rank, size, device)
    finally:
        torch_dist.destroy_process_group()


@contextmanager
def translate_dist_errors() -> Iterator[None]:
    """Raise DistributedError where torch says that another process is not there (any more)."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        network = isinstance(error, torch_dist.DistError)
        if not network and not any(word in text for word in LOST):
            raise
        rank, size, _ = rank_of(os.environ)
        first = text.splitlines()[0] if text else type(error).__name__
        raise DistributedError(
            f"process {rank} of {size} lost the others: {first}",
            hint="what was saved is valid: --resume goes on from the last checkpoint",
        ) from error


def is_sharded(network: nn.Module) -> bool:
    """Whether `World.shard` was applied."""
    return hasattr(network, "set_requires_gradient_sync")


def unshard(tensor: Tensor) -> Tensor:
    """A tensor without its sharding; all processes must ask."""
    value: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return value


def shard_like(tensor: Tensor, like: Any) -> Tensor:
    """A whole tensor, the same in all processes, sharded as `like` is."""
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    value: Tensor = distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return value
