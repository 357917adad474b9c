"""A saved timeline."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidattn.timeline import Timeline
from vidattn.types import VideoInfo, Window


@pytest.fixture
def park(tmp_path: Path) -> Path:
    """Eight saved windows of a second: walk, a blip of run, walk, something unsure, run."""
    walk = np.array([0.9, 0.9, 0.3, 0.9, 0.55, 0.55, 0.1, 0.1])
    timeline = Timeline(
        source="park.mp4",
        labels=("walk", "run"),
        windows=tuple(Window(i, i + 1) for i in range(8)),
        scores=np.stack([walk, 1 - walk], 1),
        input=VideoInfo(fps=Fraction(10), vfr=False),
        frame_times=np.arange(80) / 10,
    )
    path = tmp_path / "park.vidattn.json"
    path.write_text(timeline.to_json())
    return path
