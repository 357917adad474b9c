"""Options that several commands share, described once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli.option_groups import seconds as parse_time
from vidattn.errors import UsageError
from vidattn.video.readers import READER_NAMES

if TYPE_CHECKING:
    from vidattn.video import Limits

    ReaderName = str
else:
    ReaderName = Literal[READER_NAMES]

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Files, directories (searched below), patterns, @list.txt, or - for paths on stdin.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A catalog name, a weights file, or a directory (see `vidattn models list`). "
        "Default: timesformer-k400; the bundled motion-tiny where that cannot be had.",
        show_default=False,
    ),
]
Frames = Annotated[
    int | None,
    typer.Option("--frames", metavar="N", min=1, help="Frames to look at.", show_default=False),
]
ClipFrames = Annotated[
    int | None,
    typer.Option(
        "--frames",
        metavar="N",
        min=1,
        help="Frames of a clip. Default: as trained.",
        show_default=False,
    ),
]
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="Begin here (seconds or HH:MM:SS)."),
]
End = Annotated[
    str | None, typer.Option("--end", metavar="TIME", help="Stop here (seconds or HH:MM:SS).")
]
SmoothName = Literal["none", "median", "mean", "viterbi"]
_SMOOTH = typer.Option("--smooth", help="How neighbouring windows help to decide a label.")
Smooth = Annotated[SmoothName, _SMOOTH]
SmoothAgain = Annotated[SmoothName | None, _SMOOTH]
"""This and what else is called so: where None leaves what was saved. An alias that is itself made
optional, `Smooth | None`, would lose its option."""
_KERNEL = typer.Option("--kernel", metavar="N", help="Windows that median and mean look at, odd.")
Kernel = Annotated[int, _KERNEL]
KernelAgain = Annotated[int | None, _KERNEL]
_SWITCH_COST = typer.Option(
    "--switch-cost", metavar="NATS", help="What Viterbi pays for a change of label."
)
SwitchCost = Annotated[float, _SWITCH_COST]
SwitchCostAgain = Annotated[float | None, _SWITCH_COST]
ThresholdAgain = Annotated[
    float | None,
    typer.Option("--threshold", metavar="P", help="Below this probability: background."),
]
ThresholdOrAuto = Annotated[
    str,
    typer.Option(
        "--threshold",
        metavar="P|auto",
        help="Below this probability: background. auto: what `eval --fit-threshold` has found.",
    ),
]
Leave = Annotated[
    float | None,
    typer.Option(
        "--leave",
        metavar="P",
        help="A label that has reached the threshold lasts until it falls below this.",
        show_default=False,
    ),
]
_MERGE_GAP = typer.Option(
    "--merge-gap", metavar="SEC", help="Background so short between two of a label joins them."
)
MergeGap = Annotated[float, _MERGE_GAP]
MergeGapAgain = Annotated[float | None, _MERGE_GAP]
Cuts = Annotated[
    Path | None,
    typer.Option(
        "--cuts",
        metavar="FILE",
        help="Shot cuts to move boundaries to: seconds, one a line, or PySceneDetect's csv.",
        show_default=False,
    ),
]
Pool = Annotated[
    str | None,
    typer.Option(
        "--pool",
        metavar="HOW",
        help="One answer for the whole file: mean, max, or topN as top5; `classify` also takes "
        "head=RUN, what `train --task long` made.",
        show_default=False,
    ),
]
Stride = Annotated[
    float | None,
    typer.Option(
        "--stride",
        metavar="SEC",
        help="From the start of a window to that of the next. Default: side by side.",
        show_default=False,
    ),
]
Overlap = Annotated[
    float,
    typer.Option(
        "--overlap", metavar="SHARE", help="Of a window that the next one shares; or --stride."
    ),
]
_MIN_DURATION = typer.Option("--min-duration", metavar="SEC", help="Shortest segment to keep.")
MinDuration = Annotated[float, _MIN_DURATION]
MinDurationAgain = Annotated[float | None, _MIN_DURATION]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "int8"],
    typer.Option(
        "--precision",
        help="auto: bf16 where fast and in agreement, else fp32. int8: CPU only, compared first.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Let torch compile the model first, which takes a minute. For GPUs, or small models "
        "and hours of footage.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        min=1,
        help="Clips per forward pass. Default: as many as are fastest with the model.",
        show_default=False,
    ),
]
Reader = Annotated[
    ReaderName,
    typer.Option("--reader", help="What decodes the video."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        metavar="N",
        min=1,
        help="Refuse films with frames of more pixels. Default: 36 million.",
        show_default=False,
    ),
]
AnyCodec = Annotated[
    bool,
    typer.Option("--any-codec", help="Let uncommon codecs be decoded, too, of films you trust."),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="F,F...",
        help="Files to write: json, jsonl, csv, tsv, srt, vtt, html, edl, otio, fcpxml, eaf, "
        "labelstudio, cvat, activitynet, fiftyone; mp4, the film with its labels in it.",
    ),
]
Clips = Annotated[
    Path | None,
    typer.Option(
        "--clips",
        metavar="DIR",
        help="Cut each segment out of the film into a file here.",
        show_default=False,
    ),
]
ClipsExact = Annotated[
    bool,
    typer.Option(
        "--clips-exact", help="Encode every clip anew, to begin and end with the very frame."
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Where files go.", show_default=False),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document; for several inputs, one in each line."),
]
JsonOfOne = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Other names for the labels: as many, one a line; or lines of old name, tab, new.",
        show_default=False,
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="DIR", help="Where the data set lies.", show_default=False),
]
TrainingSet = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME|DIR",
        help="motion, k400, k600, k700, ssv2, diving48, howto100m, ucf101, hmdb51, or a folder "
        "or list of yours.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe."),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Leave out inputs whose result is there, complete and of the same model and settings, "
        "or that have failed before; go on with unfinished ones.",
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="As --skip-existing, but try again what has failed, or has gaps because the decoder "
        "died or fell silent.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the inputs of share I of N, counted from 0, of about equal size.",
        show_default=False,
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors only.")]


def limits(max_pixels: int | None, any_codec: bool) -> Limits:
    """What a film may cost, from --max-pixels and --any-codec."""
    from vidattn.video import Limits

    usual = Limits(any_codec=any_codec)
    return usual if max_pixels is None else replace(usual, max_pixels=max_pixels)


def threshold_of(text: str) -> float | None:
    """The number in --threshold, None for "auto". Raises UsageError for anything else."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--threshold {text!r}: neither a number from 0 to 1 nor auto") from None


def seconds(text: str | None) -> float | None:
    """A point in time, given as seconds ("90.5") or as [HH:]MM:SS[.fraction]."""
    return None if text is None else parse_time(text)


def of_one(value: object, option: str, inputs: Sequence[str]) -> None:
    """Raises UsageError where an option that is about one film meets several inputs."""
    if value is not None and len(inputs) != 1:
        raise UsageError(
            f"{option} is about one film, and there are {len(inputs)}", hint="name one input"
        )
