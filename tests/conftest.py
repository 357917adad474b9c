"""Fixtures that several parts share."""

import os
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several tests at a time: each has a processor of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def known_values() -> Callable[[Mapping[str, tuple[int, ...]]], dict[str, np.ndarray]]:
    """Weights that anybody can make again: float32 arrays drawn by the name of each tensor.

    The goldens in tests/models/golden were made with them, under the official names.
    """

    def fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        values = {}
        for name, shape in shapes.items():
            noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
            is_norm = len(shape) == 1 and name.endswith("weight")
            values[name] = (1 + 0.1 * noise if is_norm else 0.05 * noise).astype(np.float32)
        return values

    return fill
