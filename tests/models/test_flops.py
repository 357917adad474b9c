import pytest

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.errors import UsageError
from vidattn.models.flops import count_macs

BASE = TimeSformerConfig(classes=400)
HR = TimeSformerConfig(frames=16, size=448)
LONG = TimeSformerConfig(frames=96)


@pytest.mark.parametrize(
    "config, giga",
    [
        (BASE, 195.8),
        (HR, 1702.7),
        (LONG, 2379.9),
        (TimeSformerConfig("space"), 140.5),
        (TimeSformerConfig("joint"), 179.6),
        (TimeSformerConfig("joint", frames=96), 8135.7),
        (StamConfig(frames=16), 281.6),
        (StamConfig(frames=64), 1126.2),
    ],
    ids=str,
)
def test_known_multiply_adds(config: TimeSformerConfig | StamConfig, giga: float) -> None:
    assert count_macs(config) / 1e9 == pytest.approx(giga, rel=0.001)


@pytest.mark.parametrize(
    "attention, without, copies", [("time", 134.4, 196), ("axial", 246.2, 8 * 14)]
)
def test_class_token_copies_count_per_row(attention: str, without: float, copies: int) -> None:
    linear = 12 * copies * 4 * 768**2 / 1e9
    macs = count_macs(TimeSformerConfig(attention)) / 1e9
    assert macs == pytest.approx(without + linear, rel=0.001)


@pytest.mark.parametrize("config, tera", [(BASE, 0.59), (HR, 5.11), (LONG, 7.14)], ids=str)
def test_three_views_cost_what_the_paper_says(config: TimeSformerConfig, tera: float) -> None:
    assert round(3 * count_macs(config) / 1e12, 2) == tera


@pytest.mark.parametrize(
    "frames, size, giga", [(32, 224, 785.9), (8, 448, 850.4), (8, 672, 2168.1)]
)
def test_other_clips_cost_more(frames: int, size: int, giga: float) -> None:
    assert count_macs(BASE, frames, size) / 1e9 == pytest.approx(giga, rel=0.001)


def test_the_order_of_steps_costs_only_the_class_tokens_it_adds() -> None:
    assert 1 < count_macs(TimeSformerConfig(order="parallel")) / count_macs(BASE) < 1.05


def test_a_grid_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UsageError, match="odd"):
        count_macs(TimeSformerConfig("local-global"), frames=3)
