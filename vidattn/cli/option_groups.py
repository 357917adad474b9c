"""Options of the commands, each described once, alone or in groups: settings of the library."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vidattn.cli.grouping import Changes, Group, option
from vidattn.cli.parsers import area, choose_area, join_areas, reader, shot_cuts, threshold, views
from vidattn.config.run_options import BatchOptions
from vidattn.data.plan import Windowing, as_seconds
from vidattn.errors import UsageError
from vidattn.models.device import Runtime
from vidattn.output import WRITERS
from vidattn.timeline.decoding import Decoding
from vidattn.video.protocol import Limits
from vidattn.video.readers import READER_NAMES

if TYPE_CHECKING:
    from vidattn.inference.batch.output_files import OutputFiles


@dataclass(frozen=True)
class ModelOptions:
    """Which model a command loads."""

    model: str | None = None
    labels: Path | None = None
    frame_step: float | None = None
    offline: bool = False
    crop: str | None = None
    mask: list[str] = field(default_factory=list)
    roi: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        join_areas(self.mask)
        choose_area(self.crop, self.roi)


@dataclass(frozen=True)
class OutputOptions:
    """Results on standard output and in files."""

    json: bool = False
    formats: list[str] = field(default_factory=list)
    output: Path | None = None
    excerpts: Path | None = None
    excerpts_exact: bool = False
    table: Path | None = None
    group_by: str | None = None
    deployments: Path | None = None
    taxa: Path | None = None

    def files(self, default: str = "", video: str | None = None) -> OutputFiles:
        """The files to write; default: formats without -f, unless --json alone is given.

        video: path of the video, if not the one in the timeline. Raises UsageError.
        """
        from vidattn.inference.batch.output_files import OutputFiles, parse_formats

        alone = self.json and self.output is None
        formats = ",".join(self.formats) or ("" if alone or self.formats else default)
        if not formats and self.output is not None:
            formats = "json"
        names = ("excerpts", "excerpts_exact", "table", "group_by", "deployments", "taxa")
        same: Any = {name: getattr(self, name) for name in names}
        return OutputFiles(parse_formats(formats), self.output, video=video, **same)


@dataclass(frozen=True)
class RayOptions:
    """Where a command with many inputs runs."""

    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    actors: int | None = None

    def __post_init__(self) -> None:
        if self.engine != "ray" and (self.address is not None or self.actors is not None):
            raise UsageError("--address and --actors are for --engine ray")


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Videos, folders (recursive), patterns, @list.txt, or - for paths on stdin.",
    ),
]
Rois = Annotated[
    list[str],
    option(
        "--roi",
        "NAME=X,Y,W,H",
        "Part of the picture that gets results of its own, from one decode. Repeatable.",
        rich_help_panel="Model",
    ),
]
Json = Annotated[
    bool, option("--json", "Print one JSON document, or for several inputs one per line.")
]
JsonOfOne = Annotated[bool, option("--json", "Print one JSON document.")]
Offline = Annotated[bool, option("--offline", "Never use the network.")]
Quiet = Annotated[bool, option("--quiet", "-q", "Results and errors only.")]
OUTPUT_FOLDER = option("--output", "-o", "DIR", "Output folder. Default: the current one.")
START_TIME = option(
    "--start-time",
    "TIME|file|CSV",
    "When videos begin, for times of day beside seconds: an ISO time, the creation time in the "
    "file, or a csv of path,start.",
    rich_help_panel="Output",
)
DATA_ROOT = option("--data-root", "DIR", "Folder of the dataset.")
GROUP_BY = option(
    "--group-by",
    "COLUMN|PATTERN",
    "Keep videos of one group in one split: a column of the list, such as subject, or a pattern in "
    "file paths, such as '(subject\\d+)'.",
    show_default=False,
)
DATASET = option(
    "--dataset",
    "NAME|DIR",
    "motion, k400, k600, k700, ssv2, diving48, howto100m, ucf101, hmdb51, or your own folder or "
    "list.",
)
SETTINGS = option("--set", "KEY=VALUE", "Change a value of the recipe. Repeatable.")
DEVICE = option("--device", "DEVICE", "auto, cpu, cuda, cuda:N or mps.")
Processes = Annotated[
    int, option("--nproc", "N", "Processes on this machine.", min=1, rich_help_panel="Processes")
]
FRAMES = option("--frames", "N", "Frames per clip. Default: as in training.", min=1)
LABELS = option(
    "--labels",
    "FILE",
    "Label names: one per line, in order; or lines of old name, tab, new name for some.",
)
Labels = Annotated[Path | None, LABELS]
Top = Annotated[
    int, option("-k", "N", "Number of labels to show.", min=1, rich_help_panel="Output")
]
AREA = {
    "crop": option(
        "X,Y,W,H|FILE",
        "Part of the picture to look at, in pixels or as 10%,0%,50%,100%; or a csv, MegaDetector "
        "or YOLO json of boxes to follow. Default: as in training.",
        parser=area,
    ),
    "mask": option(
        "X,Y,W,H", "Blacken a part of the picture, such as a strip with the time. Repeatable."
    ),
}
AREAS = {
    **AREA,
    "roi": option(
        "NAME=X,Y,W,H",
        "Name a part of the picture: that of samples with this name in their column roi, or as "
        "their subject in BORIS. Repeatable.",
    ),
}
FRAME_STEP = option(
    "--frame-step", "SEC", "Time between the frames of a clip, if the weights do not say."
)
FrameStep = Annotated[float | None, FRAME_STEP]
_MODEL = {
    "model": option(
        "--model",
        "-m",
        "MODEL",
        "Catalog name (see `vidattn models list`), weights file or folder, OWNER/NAME of a pushed "
        "model, or hf:OWNER/NAME of Hugging Face. Default: timesformer-k400 (96 frames: "
        "timesformer-l-k400), or stam-16-k400, or motion-tiny if those are unavailable.",
    ),
    "labels": LABELS,
    "frame_step": FRAME_STEP,
    "offline": option("Never use the network."),
    **AREA,
}
Model = Annotated[ModelOptions, Group("Model", _MODEL)]
ModelWithAreas = Annotated[ModelOptions, Group("Model", _MODEL | AREAS)]
UnchangedModel = Annotated[
    ModelOptions, Group("Model", {name: _MODEL[name] for name in ("model", "offline")})
]
RUNTIME = {
    "device": DEVICE,
    "precision": option(
        "auto: bf16 where it is fast and agrees with fp32, else fp32. int8: CPU only, "
        "after a precision check."
    ),
    "batch_size": option("N", "Clips per forward pass. Default: the fastest for the model.", min=1),
    "compile": option(
        "Run torch.compile first, which takes about a minute. Pays off on GPUs, or for small "
        "models on hours of video."
    ),
    "reader": option(
        "READER",
        f"Video reader: {', '.join(READER_NAMES)}.",
        parser=reader,
        rich_help_panel="Video",
    ),
}
Device = Annotated[Runtime, Group("Model", RUNTIME)]
DeviceWithoutCompile = Annotated[
    Runtime, Group("Model", {name: RUNTIME[name] for name in RUNTIME if name != "compile"})
]
REGION = {
    "start": option("TIME", "Start here (seconds or HH:MM:SS).", parser=as_seconds),
    "end": option("TIME", "Stop here (seconds or HH:MM:SS).", parser=as_seconds),
}
ExactDevice = Annotated[
    Runtime, Group("Model", {name: RUNTIME[name] for name in ("device", "batch_size", "reader")})
]
"""For acts in fp32."""
Windows = Annotated[
    Windowing,
    Group(
        "Windows",
        {
            "frames": FRAMES,
            "window": option("SEC", "Length of a window. Default: as in training."),
            "stride": option("SEC", "Distance between window starts; excludes --overlap."),
            "overlap": option(
                "FRACTION",
                "Overlap between consecutive windows. Default: 0.75 where it adds little work, "
                "else 0.",
            ),
            "skip_static": option(
                "LEVEL",
                "Reuse the previous scores while the picture changes by at most LEVEL (0-255, mean "
                "per frame).",
            ),
            **REGION,
        },
    ),
]
_DECODING = {
    "smooth": option("Temporal smoothing; auto: the likeliest labels of all windows."),
    "kernel": option("N", "Windows per median or mean; odd."),
    "switch_cost": option(
        "NATS",
        "Cost of a label change; higher means fewer segments. Default: learned by auto, 2 for "
        "viterbi.",
    ),
    "threshold": option("P", "Background below this probability."),
    "leave": option("P", "A segment that has reached the threshold ends below this score."),
    "merge_gap": option("SEC", "Merge segments of the same label up to SEC apart."),
    "min_duration": option(
        "SEC", "Merge shorter segments into the better fitting one beside them."
    ),
}
PostProcessing = Annotated[
    Decoding,
    Group(
        "Post-processing",
        {
            **_DECODING,
            "threshold": option(
                "P|auto",
                "Background below this probability. auto: the threshold that `compare "
                "--fit-threshold` stored in the model, or 0.5.",
                parser=threshold,
            ),
            "snap": option("--snap-to-cuts", "Find shot cuts in all frames, in an extra pass."),
        },
    ),
]
_SAVED_SNAP = {"snap": option("--snap-to-cuts", "Move boundaries to the stored shot cuts.")}
_ANEW = Annotated[Decoding, Group("Post-processing", _DECODING)]
_ANEW_WITH_CUTS = Annotated[Decoding, Group("Post-processing", {**_DECODING, **_SAVED_SNAP})]
PostProcessingChanges = Annotated[dict[str, Any], Changes(_ANEW)]
SavedPostProcessing = Annotated[dict[str, Any], Changes(_ANEW_WITH_CUTS)]
"""Only the given settings; the others stay as saved."""
CUTS = option(
    "--cuts",
    "FILE",
    "Move boundaries to the shot cuts listed here: seconds, one per line, or PySceneDetect's csv.",
    parser=shot_cuts,
    rich_help_panel="Post-processing",
)
VIEWS = {
    "frames": option("N", "Frames to sample in all, rounded to whole clips.", min=1),
    "views": option("SxT", "Spatial crops (1 or 3) x clips, such as 3x1.", parser=views),
    "sampling": option(
        "uniform: frames spread over the video. dense: clips at the trained frame step. "
        "auto: as in training."
    ),
}
Video = Annotated[
    Limits,
    Group(
        "Video",
        {
            "max_pixels": option("N", "Refuse videos whose frames exceed N pixels.", min=1),
            "stream": option(
                "N", "Video stream to read, by its number in ffprobe. Default: the best one.", min=0
            ),
            "any_codec": option("Also decode uncommon codecs; only for videos you trust."),
            "sandbox": option("require: refuse to decode where a layer of the sandbox is missing."),
        },
    ),
]
_OUTPUT = {
    "formats": option(
        "--format",
        "-f",
        "F,F...",
        f"Files to write: {', '.join(WRITERS)}; mp4: the video with labels drawn in; table: "
        "--table table.csv; budget: time budgets of all inputs, budget.csv; camtrap-dp: all of "
        "them as a Camera Trap Data Package. Repeatable.",
    ),
    "table": option(
        "FILE",
        "One table for all inputs, .csv or .parquet: a row per segment, or per classified video.",
    ),
    "deployments": option(
        "FILE",
        "For camtrap-dp: a csv of deploymentID, latitude, longitude, deploymentStart, "
        "deploymentEnd; an id is the name of a folder of videos.",
    ),
    "taxa": option(
        "FILE",
        "For camtrap-dp: what labels mean, a csv of label, observationType, scientificName, "
        "behavior.",
    ),
    "output": OUTPUT_FOLDER,
    "json": option("Print one JSON document, or for several inputs one per line."),
}
_EXCERPTS = {
    "excerpts": option("DIR", "Cut each segment out of the video into a file here."),
    "group_by": option(
        "folder|roi|PATTERN|LIST.csv:COLUMN",
        "Group time budgets by folder, area (--roi), a pattern in paths, or a column of a list.",
    ),
    "excerpts_exact": option("Re-encode excerpts for frame-accurate cuts."),
}
Output = Annotated[OutputOptions, Group("Output", _OUTPUT)]
OutputWithExcerpts = Annotated[OutputOptions, Group("Output", {**_OUTPUT, **_EXCERPTS})]
Batch = Annotated[
    BatchOptions,
    Group(
        "Many inputs",
        {
            "skip_existing": option(
                "Skip inputs with a complete result of the same model and settings, and inputs "
                "that failed before; resume unfinished ones."
            ),
            "retry_failed": option(
                "Like --skip-existing, but retry inputs that failed or have gaps caused by a "
                "crash, a timeout or lack of memory."
            ),
            "shard": option(
                "I/N", "Process only shard I of N, counted from 0; shards are balanced by bytes."
            ),
            "start_time": START_TIME,
            "join": option(
                "Join the files of a recording to one video: those in a folder with consecutive "
                "numbers, such as GX010023 and GX020023 or street_0001 and street_0002, and times "
                "that agree."
            ),
            "watch": option(
                "Wait for new videos in the folders, each done when it has stopped growing, until "
                "Ctrl-C; implies --skip-existing."
            ),
            "settle": option(
                "SEC", "A watched file is done when it has not grown for SEC seconds.", min=0
            ),
        },
    ),
]
Ray = Annotated[
    RayOptions,
    Group(
        "Ray",
        {
            "engine": option("ray: run on a Ray cluster."),
            "address": option(
                "HOST:PORT", "Ray cluster to connect to, or auto. Default: start a local one."
            ),
            "actors": option("N", "Workers on the cluster. Default: one per GPU or CPU.", min=1),
        },
    ),
]
