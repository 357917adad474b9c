"""Classification metrics as text, and the confusion matrix as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidattn.cli.terminal.console import printable
from vidattn.cli.terminal.teaching import label_lines
from vidattn.io.files import write_atomically
from vidattn.io.text import count_noun, describe_interval

MOST_ROWS = 40
"""Number of classes up to which all are shown; of more only the worst."""
WORST = 20
PAIRS = 5
KINETICS = "vidattn eval -m timesformer-k400 --dataset k400 --data-root DIR"


def metric_lines(result: Mapping[str, Any], published: str = "") -> Iterator[str]:
    """Metrics, then each class with its most frequent errors. published: those of its card."""
    from vidattn.output.report.confusion import FEW

    motion = result["dataset"] == "motion"
    seen = count_noun(result["scored"], result["unit"])
    if result["failed"]:
        seen += f" of {result['videos']}"
    warnings = result.get("warnings", ())
    drawn = f" (drawn camera motion{', NOT KINETICS' * bool(warnings)})" * motion
    yield f"{printable(result['model'])} on {printable(result['dataset'])}{drawn}: {seen}"
    for warning in warnings:
        yield f"  {printable(warning)}"
        if motion:
            yield f"  Kinetics-400 is measured by: {KINETICS}"
    if settings := _describe_settings(result):
        yield f"  saw {settings}"
    if "several" in result:
        yield from label_lines(result["several"])
        return
    low, high = result["top1_interval"]
    ends = describe_interval(result["top1"], low, high, "and")
    sure = f"between {ends} (95 %)"
    guess = f"always guessing the largest class: {100 * result['majority']:.1f} %"
    yield f"  {'top1':<11} {100 * result['top1']:5.1f} %  {sure}; {guess}"
    for name in ("top5", "mean_class"):
        if name != "top5" or len(result["labels"]) > FEW:
            yield f"  {name:<11} {100 * result[name]:5.1f} %"
    cooled = f", temperature {result['temperature']:.4g}" if result["temperature"] != 1 else ""
    yield (
        f"  {'ece':<11} {100 * result['ece']:5.1f} %  "
        f"nll {result['nll']:.4f}  brier {result['brier']:.4f}{cooled}"
    )
    if published:
        yield f"  its card says {printable(published)}"
    yield from _classes(result)
    yield from _pairs(result["confused"])


def _describe_settings(result: Mapping[str, Any]) -> str:
    """The input of the model for each video; empty if the settings do not have it."""
    from vidattn.data import sampling

    settings = result.get("settings", {})
    if not {"views", "frames", "sampling", "short_side", "averaging"} <= settings.keys():
        return ""
    views = sampling.describe_views(sampling.parse_views(settings["views"]))
    step = settings.get("step_seconds")
    spacing = f"one every {step:.3g} s" if step else "spread over the video"
    if settings["sampling"] == "official":
        spacing = "those of the official code"
    return (
        f"{views} of {settings['frames']} frames, {spacing}, short side {settings['short_side']}; "
        f"{settings['averaging']}s averaged"
    )


def _classes(result: Mapping[str, Any]) -> Iterator[str]:
    labels, rows = result["labels"], result["confusion"]
    seen = [i for i, row in enumerate(rows) if sum(row)]
    left = ""
    if len(seen) > MOST_ROWS:
        left = f"  and {len(seen) - WORST} better classes (all of them: --json)"
        seen = sorted(seen, key=lambda i: rows[i][i] / sum(rows[i]))[:WORST]
    width = max(len(printable(labels[i])) for i in seen)
    for i in seen:
        row, total = rows[i], sum(rows[i])
        errors = sorted(((n, j) for j, n in enumerate(row) if j != i and n), reverse=True)[:2]
        taken = ", ".join(f"{printable(labels[j])} {100 * n / total:.1f} %" for n, j in errors)
        right = f"{100 * row[i] / total:5.1f} %"
        yield f"  {printable(labels[i]):<{width}}  {right}" + f"  taken for {taken}" * bool(taken)
    if left:
        yield left


def _pairs(confused: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if confused:
        pairs = [
            f"{printable(pair['label'])} for {printable(pair['taken_for'])} ({pair['count']}x)"
            for pair in confused[:PAIRS]
        ]
        yield f"  most confused: {', '.join(pairs)}"


def write_confusion(result: Mapping[str, Any], path: Path) -> Path:
    """Write the confusion matrix: rows are true classes, columns predictions; labels are escaped.

    The file is a page if its name ends in .html, else CSV.
    """
    if path.suffix.lower() == ".html":
        from vidattn.output.report.confusion import confusion_page

        return write_atomically(path, confusion_page(result).encode("utf-8", "backslashreplace"))
    from vidattn.output.tables import csv_row, escape_cell

    labels = [escape_cell(label) for label in result["labels"]]
    rows = [[label, *row] for label, row in zip(labels, result["confusion"], strict=True)]
    text = "".join(map(csv_row, [["truth \\ prediction", *labels], *rows]))
    return write_atomically(path, text.encode("utf-8", "surrogateescape"))


def calibration_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Metrics before and after fitting a temperature, on the same videos."""
    (before, after), nll = found["ece"], found["nll"]
    yield (
        f"  fitted temperature {found['temperature']:.4g}: ece {100 * before:.1f} -> "
        f"{100 * after:.1f} %, nll {nll[0]:.4f} -> {nll[1]:.4f} (on the same videos)"
    )
    if found["at_edge"]:
        yield "  it is at the end of the range: these videos do not determine it"
