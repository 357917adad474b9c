"""The option groups of commands with many inputs, described once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from vidattn.cli.grouping import Group, option
from vidattn.cli.option_groups import START_TIME
from vidattn.config.run_options import BatchOptions
from vidattn.errors import UsageError


@dataclass(frozen=True)
class RayOptions:
    """Where a command with many inputs runs."""

    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    actors: int | None = None

    def __post_init__(self) -> None:
        if self.engine != "ray" and (self.address is not None or self.actors is not None):
            raise UsageError("--address and --actors are for --engine ray")


Batch = Annotated[
    BatchOptions,
    Group(
        "Many inputs",
        {
            "skip_existing": option(
                "Skip inputs with a complete result of the same model and settings, and inputs "
                "that failed before; resume unfinished ones."
            ),
            "retry_failed": option(
                "Like --skip-existing, but retry inputs that failed or have gaps caused by a "
                "decoder crash or timeout."
            ),
            "shard": option(
                "I/N", "Process only shard I of N, counted from 0; shards are balanced by bytes."
            ),
            "start_time": START_TIME,
            "join": option(
                "Treat the files of one recording as one video: consecutive numbers in a folder, "
                "such as GX010023 and GX020023 or street_0001 and street_0002, and times that "
                "agree."
            ),
            "watch": option(
                "Wait for new videos in the folders, each done when it has stopped growing, until "
                "Ctrl-C; implies --skip-existing."
            ),
            "settle": option(
                "SEC", "A watched file is done when it has not grown for so long.", min=0
            ),
        },
    ),
]
Ray = Annotated[
    RayOptions,
    Group(
        "Ray",
        {
            "engine": option("ray: run on a Ray cluster."),
            "address": option(
                "HOST:PORT", "Ray cluster to connect to, or auto. Default: start a local one."
            ),
            "actors": option("N", "Workers on the cluster. Default: one per GPU or CPU.", min=1),
        },
    ),
]
