"""Processes that train together: ranks, reductions, and the loss of one of them."""

from pathlib import Path

import pytest
import torch

from tests.together import together
from vidattn.errors import DistributedError, UsageError
from vidattn.models.distributed import World, read_ranks, translate_dist_errors

PROGRAM = """
import os, torch
from vidattn.models.distributed import join_world
from vidattn.errors import DistributedError

try:
    with join_world(torch.device("cpu")) as world:
        rows = torch.full((world.rank * 2, 3), float(world.rank))
        results = [
            world.rank, world.size, world.is_main, str(world.device),
            world.all_reduce_sum(1.5, world.rank), world.all_reduce_max(world.rank + 3),
            world.all_gather(rows).tolist(),
            world.all_gather_objects([{"I": world.rank}] * (2 - world.rank)),
        ]
        if world.rank == 1:
            print(json.dumps([results, "gone"]), flush=True)
            os._exit(0)
        world.all_reduce_sum(1)
except DistributedError as error:
    print(json.dumps([results, error.message]))
"""


def test_processes_reduce_and_gather_and_report_a_lost_one(tmp_path: Path) -> None:
    outputs = together(PROGRAM, tmp_path / "out")
    for rank, (results, _) in enumerate(outputs):
        assert results[:4] == [rank, 2, rank == 0, "cpu"]
        assert results[4:6] == [[3.0, 1.0], 4]
        assert results[6] == [[1.0] * 3] * 2
        assert results[7] == [{"I": 0}, {"I": 0}, {"I": 1}]
    assert outputs[0][1].startswith("process 0 of 2 lost the others: ")
    assert outputs[1][1] == "gone"


def test_a_single_process_is_a_world_of_size_one() -> None:
    world = World()
    assert world.is_main
    assert world.all_reduce_sum(1, 2.5) == [1.0, 2.5]
    assert world.all_gather_objects(["x"]) == ["x"]
    network = torch.nn.Linear(1, 1)
    assert world.wrap(network) is network


def test_ranks_are_read_from_the_environment() -> None:
    assert read_ranks({}) == (0, 1, 0)
    assert read_ranks({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == (5, 8, 1)
    with pytest.raises(UsageError, match="RANK is set"):
        read_ranks({"RANK": "5"})


def test_only_lost_connections_become_distributed_errors() -> None:
    with pytest.raises(DistributedError), translate_dist_errors():
        raise RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), translate_dist_errors():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
