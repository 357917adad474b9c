"""Metrics as text: of datasets, of teaching, of timelines; the confusion matrix as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.cli.terminal.console import printable
from vidattn.io.files import write_atomically
from vidattn.io.text import count_noun, describe_interval, name_area
from vidattn.output.text import format_clock

if TYPE_CHECKING:
    from vidattn.evaluation.diff import Difference, LabelDifference

MOST_ROWS = 40
"""Classes, labels and disagreements that are printed; JSON has them all."""
WORST = 20
"""Classes of an evaluation that are printed where it has more than MOST_ROWS."""
PAIRS = 5
KINETICS = "vidattn eval -m timesformer-k400 --dataset k400 --data-root DIR"
LITTLE = 2
"""Percentage points of a gain that is not worth twice the samples."""
LINES = {
    "accuracy": "accuracy",
    "mean_class": "mean class",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "map": "mAP",
}
MOST_PARTS = 5
"""Videos of which a part counts that are printed."""


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
    if seen := settings.get("views_seen"):
        low, high = seen
        count = f"{low} to {high} views" if low < high else count_noun(low, "view")
        views = f"{count} instead of {views}, each"
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


def teaching_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The metrics of a report `vidattn/taught/1`: totals, each class, confusions, what helps."""
    metrics = report["metrics"]
    yield (
        f"{count_noun(report['samples'], 'sample')}, {len(report['labels'])} classes, "
        f"{count_noun(report['groups'], 'group')}; {printable(report['backbone'])}, "
        f"{printable(report['head'])}"
    )
    unit = f"{report['windows']} windows " * (report["activation"] == "sigmoid")
    folds = count_noun(report["folds"], "fold")
    yield f"  {unit}cross-validated in {folds} of whole groups, 95 %"
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
    rows = metrics["per_class"][:MOST_ROWS]
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


def _percent(value: float | None, missing: str = "    - %") -> str:
    return missing if value is None else f"{100 * value:5.1f} %"


def _between(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return ""
    return describe_interval(value, low, high)


def comparison_lines(document: Mapping[str, Any]) -> Iterator[str]:
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
        yield f"  {title:<16} {_percent(document[name], '     -')}"
    classes = document["per_class"]
    width = max((len(printable(row["label"])) for row in classes), default=0)
    for row in classes[:MOST_ROWS]:
        yield (
            f"  {printable(row['label']):<{width}}  {row['found']} found, {row['spans']} there, "
            f"AP @ .5 {_percent(row['ap@0.5'], '-').strip()}"
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
