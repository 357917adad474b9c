"""Colors of labels: the same everywhere, and told apart by everybody, in light and in dark mode."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.output.test_report import long
from vidattn.output.report.assets import page_colors
from vidattn.output.report.scores import pack_scores
from vidattn.timeline import Timeline
from vidattn.timeline.palette import COLORS, NONE, color_slots, label_colors
from vidattn.types import Window

# Machado et al. 2009, severity 1, linear RGB.
EYES = {
    "trichromatic": np.eye(3),
    "protanopic": ((0.1523, 1.0526, -0.2049), (0.1145, 0.7863, 0.0992), (-0.0039, -0.0481, 1.052)),
    "deuteranopic": ((0.3673, 0.8606, -0.228), (0.2801, 0.6725, 0.0474), (-0.0118, 0.0429, 0.969)),
    "tritanopic": ((1.2555, -0.0767, -0.1788), (-0.0784, 0.9308, 0.1476), (0.0047, 0.6914, 0.3039)),
}
LEAST = {"trichromatic": 14.5, "protanopic": 8.5, "deuteranopic": 8.5, "tritanopic": 7.5}
"""Distances in Oklab, in hundredths; two is about what an eye can just tell."""


def linear(name: str, mode: int) -> NDArray[np.float64]:
    """A color of the pages as linear RGB."""
    color = page_colors()[name][mode]
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    result: NDArray[np.float64] = np.where(
        value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4
    )
    return result


def oklab(color: NDArray[np.float64]) -> NDArray[np.float64]:
    to_cones = ((0.41222, 0.53633, 0.05145), (0.2119, 0.6807, 0.1074), (0.0883, 0.28172, 0.62998))
    to_lab = ((0.21045, 0.79362, -0.00407), (1.978, -2.42859, 0.45059), (0.0259, 0.78277, -0.80868))
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ color.clip(0, 1))


def contrast(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The ratio of WCAG 2."""
    low, high = sorted(float(c @ (0.2126, 0.7152, 0.0722)) + 0.05 for c in (one, other))
    return high / low


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_ten_labels_and_background_are_told_apart(eye: str, mode: int) -> None:
    names = [*(f"k{i}" for i in range(10)), "idle"]
    seen = [oklab(np.array(EYES[eye]) @ linear(name, mode)) for name in names]
    distances = [100 * np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > LEAST[eye]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_colors_stand_out_from_the_page(mode: int) -> None:
    for name in (*(f"k{i}" for i in range(10)), "right", "wrong"):
        for ground in ("ground", "panel"):
            assert contrast(linear(name, mode), linear(ground, mode)) >= 3


def test_terminal_and_video_have_the_colors_of_the_dark_page() -> None:
    colors = page_colors()
    hexes = ["#{:02x}{:02x}{:02x}".format(*color) for color in (*COLORS, NONE)]
    assert hexes == [colors[name][1] for name in (*(f"k{i}" for i in range(10)), "idle")]


def test_a_label_has_one_color_in_all_timelines_of_a_small_model() -> None:
    names = tuple(f"label {i}" for i in range(10))
    maps = []
    for shown in ([0, 1, 2], [5, 5, 0], [9, 8, 7]):
        windows = tuple(Window(i, i + 1) for i in range(3))
        maps.append(label_colors(Timeline("a.mp4", names, windows, np.eye(10)[shown])))
    assert maps[0] == maps[1] == maps[2]
    assert len(set(maps[0].values())) == 11


def test_of_many_labels_the_ten_main_ones_differ_and_most_keep_their_color() -> None:
    names = [f"label {i}" for i in range(400)]
    alone = color_slots(names, np.zeros(400))
    rng, kept = np.random.default_rng(0), 0
    for _ in range(20):
        weights = np.zeros(400)
        weights[rng.choice(400, 10, replace=False)] = rng.uniform(1, 9, 10)
        slots = color_slots(names, weights)
        main = np.flatnonzero(weights)
        assert len({slots[k] for k in main}) == 10
        kept += sum(slots[k] == alone[k] for k in main)
    assert kept > 0.55 * 200


def test_the_report_has_the_colors_of_the_timeline_whatever_its_settings() -> None:
    timeline = long(60, 30)
    colors = label_colors(timeline)
    for threshold in (0.0, 0.6):
        page = pack_scores(timeline.with_decoding(threshold=threshold))
        for label, slot in zip(page["labels"], page["colors"], strict=True):
            assert COLORS[slot] == colors[timeline.labels.index(label)]
