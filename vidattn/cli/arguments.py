"""Arguments and flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import option

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
Labels = Annotated[Path | None, groups.LABELS]
FrameStep = Annotated[float | None, groups.FRAME_STEP]
Offline = Annotated[bool, option("--offline", "Never use the network.")]
Quiet = Annotated[bool, option("--quiet", "-q", "Results and errors only.")]
