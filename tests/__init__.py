"""Tests of vidattn, room by room."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded: parallel tests get one core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
