"""Timelines against ground truth, as text: metrics, and a list of differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.cli.terminal.console import printable
from vidattn.cli.terminal.teaching import label_lines
from vidattn.io.text import count_noun, name_area
from vidattn.output.text import format_clock

if TYPE_CHECKING:
    from vidattn.evaluation.diff import Difference, LabelDifference

MOST_ROWS = 40
"""Labels and disagreements that are printed; JSON has them all."""
MOST_PARTS = 5
"""Videos of which a part counts that are printed."""


def metric_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The metrics as text, in percent, as papers have them."""
    predicted = document["videos"] - len(document["missing"])
    model = ", ".join(name for name in document["models"] if name) or "timelines"
    seen = f"{count_noun(predicted, 'video')} of {document['videos']}"
    yield f"{printable(model)} on {printable(document['truth'])}: {seen}"
    parts = document["parts"]
    for part in parts[:MOST_PARTS]:
        ends = _part(part["start"], part["end"], part["duration"], part["limit"])
        yield f"  judged {printable(name_area(part['video'], part.get('roi', '')))} {ends}"
    if len(parts) > MOST_PARTS:
        yield f"  and {len(parts) - MOST_PARTS} more in part (all of them: --json)"
    rows = (
        ("frame accuracy", "frame_accuracy"),
        ("  of events only", "frame_accuracy_foreground"),
        ("edit score", "edit"),
        *((f"F1 @ {name[3:]}", name) for name in document if name.startswith("f1@")),
        ("mAP .5:.95", "map"),
        ("mAP .3:.7", "map_thumos"),
        ("mAP @ .5", "map@0.5"),
    )
    for title, name in rows:
        yield f"  {title:<16} {_percent(document[name])}"
    classes = document["per_class"]
    width = max((len(printable(row["label"])) for row in classes), default=0)
    for row in classes[:MOST_ROWS]:
        yield (
            f"  {printable(row['label']):<{width}}  {row['found']} found, {row['spans']} there, "
            f"AP @ .5 {_percent(row['ap@0.5']).strip()}"
        )
    yield from _more(classes, "more classes")
    if several := document.get("several"):
        yield "  each label by itself, over the time of all videos"
        yield from label_lines(several)
    if fitted := document.get("fitted"):
        yield f"  best threshold   {fitted['threshold']:.2f}, used for these metrics"


def _part(start: float, end: float, duration: float | None, limit: str) -> str:
    """The part of a video that counts, and why no more does."""
    first, last, whole = (format_clock(time or 0, decimals=1) for time in (start, end, duration))
    return f"{first} - {last}{f' of {whole}' * bool(duration)}, the part that was {limit}"


def _percent(share: float | None) -> str:
    return "     -" if share is None else f"{100 * share:5.1f} %"


def _more(rows: Sequence[object], noun: str) -> Iterator[str]:
    if len(rows) > MOST_ROWS:
        yield f"  and {len(rows) - MOST_ROWS} {noun} (all of them: --json)"


def difference_lines(found: Difference, truth: Path) -> Iterator[str]:
    """A table of labels, then the disagreements in order."""
    part, judged = found.part, "of the time agrees"
    if part.duration < found.duration - 0.01:
        judged += f", in {_part(part.start, part.stop, found.duration, found.limit)}"
    both = f"{printable(name_area(found.source, found.roi))} and {printable(str(truth))}"
    yield f"{both}: {100 * found.share:.1f} % {judged}"
    shown = found.labels[:MOST_ROWS]
    width = max([5, *(len(printable(row.label)) for row in shown)])
    yield f"  {'label':<{width}}    agreed  only here  only truth  matched  start off  end off"
    for row in shown:
        yield f"  {printable(row.label):<{width}}  {_difference_row(row)}"
    yield from _more(found.labels, "more labels")
    for one in found.disagreements[:MOST_ROWS]:
        times = " - ".join(format_clock(t, decimals=2) for t in (one.window.start, one.window.stop))
        true = " and ".join(map(printable, one.true)) or "background"
        yield f"  {times}  {printable(one.said)}, truth: {true}"
    yield from _more(found.disagreements, "more")


def _difference_row(row: LabelDifference) -> str:
    values = row.to_dict()
    start, end = (
        "       -" if v is None else f"{v:6.2f} s" for v in (values["start_off"], values["end_off"])
    )
    matched = f"{len(row.matches)} of {row.true_spans}"
    return (
        f"{row.both:6.1f} s   {row.only_said:6.1f} s    {row.only_true:6.1f} s"
        f"  {matched:>7}   {start} {end}"
    )
