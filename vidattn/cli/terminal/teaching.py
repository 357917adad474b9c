"""What `vidattn teach` found, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vidattn.cli.terminal.console import printable
from vidattn.io.text import count_noun, describe_interval

LITTLE = 2
"""Percentage points of a gain that is not worth twice the samples."""
MOST_CLASSES = 40
PAIRS = 5
LINES = {
    "accuracy": "accuracy",
    "mean_class": "mean class",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "map": "mAP",
}


def teaching_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The metrics of a report `vidattn/taught/1`: totals, each class, confusions, what helps."""
    metrics = report["metrics"]
    yield (
        f"{count_noun(report['samples'], 'sample')}, {len(report['labels'])} classes, "
        f"{count_noun(report['groups'], 'group')}; {printable(report['backbone'])}, "
        f"{printable(report['head'])}"
    )
    yield f"  cross-validated in {count_noun(report['folds'], 'fold')} of whole groups, 95 %"
    yield from label_lines(metrics)
    for pair in report["confusions"][:PAIRS]:
        one, other = printable(pair["label"]), printable(pair["taken_for"])
        yield f"  {one} taken for {other}: {pair['samples']}"
    if report["blank"] is not None:
        yield _blank_line(report["blank"])
    yield from _gain_lines(report["twice_as_many"])
    seconds = report["seconds"]
    parts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    yield f"  {parts}"


def label_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Totals with their intervals, then F1 and average precision of each label."""
    for name, title in LINES.items():
        low, high = metrics["intervals"][name]
        yield f"  {title:<11} {_percent(metrics[name])}  {_between(metrics[name], low, high)}"
    rows = metrics["per_class"][:MOST_CLASSES]
    width = max(len(printable(row["label"])) for row in rows)
    for row in rows:
        f1, ap = (
            f"{title} {_percent(row[key])} {_between(row[key], *row[f'{key}_interval']):<9}"
            for key, title in (("f1", "F1"), ("ap", "AP"))
        )
        count = f"{row['seconds']:.0f} s" if "seconds" in row else row["samples"]
        yield f"  {printable(row['label']):<{width}}  {count:>5}  {f1}  {ap}".rstrip()


def _blank_line(blank: Mapping[str, Any]) -> str:
    """What `classify --blank` would do to the samples."""
    loss, active = 100 * blank["loss"], count_noun(blank["active"], "other")
    if blank["active"] < round(1 / blank["loss"]) - 1:
        return f"  too few samples with something in them for --blank {loss:g}%: {active}"
    ends = _between(blank["lost"] / blank["active"], *blank["lost_interval"])
    return (
        f"  --blank {loss:g}% would leave out {blank['removed']} of {blank['blank']} blank samples "
        f"and lose {blank['lost']} of {active} ({ends})"
    )


def _gain_lines(gains: Mapping[str, Any]) -> Iterator[str]:
    points, title = 100 * gains["gain"], LINES[gains["metric"]]
    if None in gains["interval"]:
        return
    low, high = (round(100 * end) for end in gains["interval"])
    if high < LITTLE:
        yield f"  twice as many samples would bring little: at most {max(high, 0)} points ({title})"
    if high < LITTLE or low <= 0:
        return
    most = [f"{printable(label)} {100 * f1:.0f}" for label, f1 in list(gains["f1_of"].items())[:3]]
    named = f"; most, in F1: {', '.join(most)}" if most else ""
    about = f"{points:.0f} points ({title}), {low} to {high} with 95 %"
    yield f"  twice as many samples would bring about {about}{named}"


def _percent(value: float | None) -> str:
    return "    - %" if value is None else f"{100 * value:5.1f} %"


def _between(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return ""
    return describe_interval(value, low, high)
