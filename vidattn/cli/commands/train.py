"""`vidattn train`: make a model from a data set."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli import launch, options
from vidattn.cli.commands.recipe_options import Wanted
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopFlag, StopRequested
from vidattn.cli.terminal.training import TensorBoardWriter, TrainingDisplay
from vidattn.errors import DistributedError, ExitCode, UsageError
from vidattn.io.files import exists, is_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidattn.training.fit import RunOptions

Tune = Literal["full", "head", "temporal"]


def train(
    context: typer.Context,
    dataset: options.TrainingSet = None,
    task: Annotated[
        Literal["clips", "long"],
        typer.Option(
            "--task",
            help="clips: a model of clips. long: a head that labels whole films, from a list of "
            "what `segment --embeddings` wrote.",
        ),
    ] = "clips",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="RECIPE",
            help="Whose recipe to train with: small, small-stam, timesformer-k400, ...",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE.json", help="A recipe, as recipe.json of a run."),
    ] = None,
    data_root: options.DataRoot = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="WEIGHTS",
            help="Start from these weights; a video model brings its shape and clips along. "
            "Default: what the recipe names; none: random values.",
        ),
    ] = None,
    tune: Annotated[
        Tune | None, typer.Option("--tune", help="What learns: all, the head, what sees time.")
    ] = None,
    frames: options.ClipFrames = None,
    attention: Annotated[
        str | None,
        typer.Option(
            "--attention",
            metavar="SCHEME",
            help="Who attends to whom: divided, joint, space, time, local-global or axial.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            metavar="N",
            min=1,
            help="Passes through the data set. Default: the recipe's.",
        ),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            "--batch-size",
            metavar="N|auto",
            help="Clips per step, of all processes; the learning rate is scaled along. "
            "auto: the recipe's, computed in as large parts as fit into memory.",
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "bf16"] | None,
        typer.Option(
            "--precision",
            help="What matrices are multiplied in; parameters stay in fp32. Default: the recipe's, "
            "mostly fp32.",
        ),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir", metavar="DIR", help="Where the run is kept. Default: runs/<dataset>."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run-dir.")] = (
        False
    ),
    save_every: Annotated[
        int,
        typer.Option(
            "--save-every",
            metavar="STEPS",
            min=0,
            help="From checkpoint to checkpoint. Default: ten minutes, and after every epoch.",
            show_default=False,
        ),
    ] = 0,
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=1, help="Checkpoints to keep.")
    ] = 2,
    nproc: Annotated[
        int, typer.Option("--nproc", metavar="N", min=1, help="Processes on this machine.")
    ] = 1,
    strategy: Annotated[
        Literal["ddp", "fsdp"],
        typer.Option("--strategy", help="What each process holds: the model, or a part of it."),
    ] = "ddp",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SEC",
            min=1,
            max=86400,
            help="How long processes wait for one another before one counts as hung.",
        ),
    ] = 120.0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves for TensorBoard, too.")
    ] = False,
    settings: options.Settings = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Train a model on a data set.

    Example: vidattn train --dataset motion --epochs 2
    """
    helping = launch.is_launched()
    folder = run_dir or Path("runs", _name_of(dataset))
    if nproc > 1 and not helping:
        saved = Progress(folder, context.obj or [], resume)
        raise typer.Exit(launch.run(nproc, saved.asked, Console(quiet=quiet), saved=saved))
    changes = {
        "clip.frames": frames,
        "model.frames": frames,
        "model.attention": attention,
        "optim.epochs": epochs,
        "optim.trainable": tune,
        "optim.precision": precision,
    }
    if task == "long" and not (model or recipe or resume):
        model = "temporal-head"
    wanted = Wanted(dataset, model, recipe, init, changes, _clips(batch_size), settings or [])
    start = Start(
        folder,
        data_root=data_root,
        init=init,
        resume=resume,
        device=device,
        tensorboard=tensorboard,
    )
    with _one_voice(helping):
        from vidattn.training.fit import RunOptions

        manner = RunOptions(strategy, batch_size == "auto", save_every, keep, timeout)
        raise typer.Exit(_run(Console(quiet=quiet), wanted, start, manner))


@dataclass(frozen=True)
class Start:
    """Where a run begins, apart from its recipe."""

    folder: Path
    data_root: Path | None
    init: str | None
    resume: bool
    device: str
    tensorboard: bool

    def again(self, dataset: str | None) -> str:
        """The command that goes on with the run."""
        words = ["vidattn", "train", *(["--dataset", dataset] if dataset else [])]
        words += ["--data-root", str(self.data_root)] if self.data_root else []
        return shlex.join([*words, "--run-dir", str(self.folder), "--resume"])


class Progress:
    """How far a run has come, for those who start its processes again.

    asked: the words of the command; resume: whether they ask to go on with a run.
    """

    def __init__(self, folder: Path, asked: Sequence[str], resume: bool) -> None:
        self.folder, self.asked = folder, asked
        # A run of others is never gone on with unasked, whoever dies before refusing it.
        self._ours = not resume and not self._begun()

    def _begun(self) -> bool:
        return exists(self.folder / "recipe.json") or self.step() >= 0

    def step(self) -> int:
        """The newest checkpoint's, -1 before there is one."""
        from vidattn.training.run_dir import checkpoints

        return max((int(path.stem) for path in checkpoints(self.folder)), default=-1)

    def words(self) -> Sequence[str]:
        """The command that goes on from there."""
        return [*self.asked, "--resume"] if self._ours and self._begun() else self.asked


def _run(desk: Console, wanted: Wanted, start: Start, options: RunOptions) -> int:
    """Train, and say what happens; the first of several processes speaks for all.

    Returns the exit code.
    """
    from vidattn.training.events import IncompleteValidation, Interrupted, StepDone
    from vidattn.training.fit import fit
    from vidattn.training.run_dir import checkpoints

    lead, asked, folder = os.environ.get("RANK", "0") == "0", StopFlag(), start.folder
    code = ExitCode.DONE
    begun = folder / "recipe.json"
    recipe, said = wanted.recipe(begun if start.resume and exists(begun) else None)
    board = TensorBoardWriter(folder / "tensorboard") if start.tensorboard and lead else None
    events = fit(
        recipe,
        folder,
        data_root=start.data_root,
        device=start.device,
        resume=start.resume,
        init=start.init,
        options=options,
        stop_signal=asked,
    )
    if lead:
        desk.note(f"recipe {recipe.name} ({recipe.source or 'ours'}), run directory {folder}")
        for text in said:
            desk.note(text)
    try:
        with TrainingDisplay(desk) as follower:
            for event in events:
                if isinstance(event, StepDone):
                    asked.listen()
                if isinstance(event, Interrupted):
                    raise StopRequested(event.signal)
                if isinstance(event, IncompleteValidation):
                    code = ExitCode.INCOMPLETE
                for told in (follower, board) if lead else ():
                    if told:
                        told.tell(event)
    except StopRequested:
        if lead and checkpoints(folder):
            again = start.again(wanted.dataset)
            desk.note(f"stopped; go on with the same settings and: {again}")
        raise
    finally:
        if board:
            board.close()
    return code


@contextmanager
def _one_voice(helping: bool) -> Iterator[None]:
    """A process started by --nproc leaves it to that one to say that another has died."""
    try:
        yield
    except DistributedError as error:
        if not helping:
            raise
        raise typer.Exit(error.exit_code) from None


def _clips(batch_size: str | None) -> int | None:
    """The number in --batch-size, if it is one."""
    if batch_size in (None, "auto"):
        return None
    if batch_size.isdecimal() and int(batch_size) > 0:
        return int(batch_size)
    raise UsageError(f"--batch-size {batch_size}: neither a number above 0 nor auto")


def _name_of(dataset: str | None) -> str:
    """What a data set is called: the last word of its path, also of "." and ".."; of a list without
    its ending."""
    if dataset is None:
        return "data"
    path = Path(os.path.expanduser(dataset))  # noqa: PTH111 - pathlib raises for unknown users
    path = path if path.name not in ("", "..") else path.resolve()
    return (path.stem if is_file(path) else path.name) or "data"
