"""Convolutional networks and STAM of about the size of the small TimeSformers."""

from dataclasses import replace

from tasks import Task

from vidattn.config import ModelConfig, StamConfig
from vidattn.config.recipes.conv import SMALL_NETS


def small_network(name: str, task: Task, frames: int = 4, size: int = 16) -> ModelConfig:
    """I3D, SlowFast, X3D or TSM as in the recipes of that name, with one block in each stage."""
    shape = replace(SMALL_NETS[name], blocks=(1, 1, 1, 1), drop=0.0)
    return replace(shape, classes=task.classes, frames=frames, size=size)


def small_stam(task: Task, frames: int = 4, size: int = 16) -> StamConfig:
    """Two blocks over space, one layer over time."""
    return StamConfig(task.classes, frames, size, 4, 32, 2, 4, 2.0, 1, 4, 64)
