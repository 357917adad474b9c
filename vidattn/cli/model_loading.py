"""Loading the model of a command, and saving it with what was fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.cli.option_groups import ModelOptions
from vidattn.cli.parsers import choose_area, join_areas
from vidattn.config import ViewConfig
from vidattn.errors import DataError, InputError, UsageError, WeightsError
from vidattn.io.files import read_file, reading
from vidattn.io.json import parse_object
from vidattn.io.text import count_noun
from vidattn.video.boxes import warn_of_whole

if TYPE_CHECKING:
    from vidattn.cli.terminal.console import Console
    from vidattn.inference.batch.events import NoteTaker
    from vidattn.models.classifier import Classifier
    from vidattn.video import Limits
    from vidattn.weights.download import Progress
    from vidattn.weights.sources import Announce, Download

MOST_TRIED = 3
"""Videos that are opened before a model is downloaded for them."""


def load_model(
    console: NoteTaker,
    options: ModelOptions,
    frames: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Classifier:
    """The named model; without a name the default, or the bundled one if it is unavailable.

    Notes on stderr say what was assumed and downloaded, and which licenses restrict the use of the
    weights. frames: frames per clip, which decide about the default. check: called before a
    download, which it may prevent by an error.
    """
    from vidattn.weights.loading import load, load_default

    announce, begin = _announcements(console, check)
    if options.model is not None:
        classifier = load(
            options.model,
            offline=options.offline,
            announce=announce,
            progress=begin,
            frame_step=options.frame_step,
        )
    elif options.frame_step is not None:
        raise UsageError("--frame-step is a fact about a model: name the model with -m")
    else:
        classifier, notice = load_default(
            frames, options.offline, announce=announce, progress=begin
        )
        if notice:
            (console.warn if classifier.warnings else console.note)(notice)
    card = classifier.card
    for note in card.notes:
        console.note(note)
    if "NC" in card.license:
        console.note(f"{card.name} is {card.license}: no commercial use")
    if options.labels is not None:
        classifier = replace(classifier, labels=read_labels(options.labels, classifier.labels))
    mask, area = join_areas(options.mask), choose_area(options.crop, options.roi)
    if area is None and classifier.clip.area:
        console.note(f"{card.name} looks at {classifier.clip.area}, as it was trained")
    if mask is None and classifier.clip.mask:
        console.note(f"{card.name} sees black at {classifier.clip.mask}, as it was trained")
    return classifier.look_at(area, mask)


def warn_of_whole_pictures(console: Console, classifier: Classifier, paths: Iterable[str]) -> None:
    """Warn of each video without boxes of a model that follows some."""
    for path in paths:
        for text in warn_of_whole(classifier.clip.boxes, path):
            console.warn(f"{path}: {text}")


def _announcements(
    console: NoteTaker, check: Callable[[], None] = lambda: None
) -> tuple[Announce, Progress]:
    """What notes a download once, when it begins; check: called before."""

    def announce(download: Download) -> None:
        if not download.failed:
            check()
        pending[:] = [str(download)]
        if not download.progress:
            begin()

    def begin(*_: object) -> None:
        while pending:
            console.note(f"downloading {pending.pop()}")

    pending: list[str] = []
    return announce, begin


def download_weights(
    console: Console, names: Sequence[str], every: bool, folder: Path | None
) -> None:
    """Download models of the catalog into a mirror, or into the cache, and print their places.

    Goes on behind a model that no source has. Raises UsageError without names, and WeightsError at
    the end for those that are missing.
    """
    from vidattn.weights import catalog, download, sources

    if bool(names) == every:
        raise UsageError("name models of the catalog, or --all", hint="vidattn models list")
    entries = [catalog.find_entry(name) for name in names] or list(catalog.CATALOG.values())
    missing = []
    for entry in entries:
        if entry.is_bundled:
            console.note(f"{entry.name} is in the package, there is nothing to download")
            continue
        announce, begin = _announcements(console)
        try:
            if folder is None:
                paths = [sources.fetch(entry, announce=announce, progress=begin)[0]]
            else:
                paths = sources.copy_weights(entry, folder, announce=announce, progress=begin)
        except download.UnavailableError as error:
            missing.append(entry.name)
            console.warn(f"{entry.name}: {error.message}")
        else:
            console.lines(map(str, paths))
    if missing:
        raise WeightsError(f"not downloaded: {', '.join(missing)}")


def check_mirror(console: Console, folder: str) -> bool:
    """Whether this is a mirror, whose files are then checked.

    Raises WeightsError if one is not as listed.
    """
    from vidattn.weights import sources

    if not sources.is_mirror(Path(folder)):
        return False
    wrong = 0
    for name, reason in sources.check_mirror(Path(folder)):
        console.emit(f"{name}: {reason or 'valid'}")
        wrong += bool(reason)
    if wrong:
        raise WeightsError(f"{folder}: {count_noun(wrong, 'file')} of this mirror not as listed")
    return True


def require_readable(paths: Sequence[str], limits: Limits) -> None:
    """Raise the error of the first video if none of the first few can be opened."""
    from vidattn.video import open_video

    errors: list[InputError] = []
    for path in paths[:MOST_TRIED]:
        try:
            open_video(path, limits=limits).close()
        except InputError as error:
            errors.append(error)
        else:
            return
    if errors:
        raise errors[0]


def load_head(console: NoteTaker, name: str, *, offline: bool) -> Classifier:
    """The temporal head that `--pool head=RUN` names. Raises UsageError for another model."""
    from vidattn.inference.whole_video import require_head
    from vidattn.weights.loading import load

    head = load(name, offline=offline)
    require_head(head)
    for note in head.card.notes:
        console.note(note)
    return head


def require_weights_name(path: Path | None) -> None:
    """Raise UsageError for an `-o` that is not the name of a weights file."""
    if path is not None and path.suffix != ".safetensors":
        raise UsageError(f"-o {path}: the name of a weights file ends in .safetensors")


def save_fitted(classifier: Classifier, path: Path, source: str | None) -> Path:
    """Write a model with its recipe. source: the name or path it was loaded from."""
    from vidattn import weights
    from vidattn.weights.loading import read_training_recipe

    return weights.save(classifier, path, read_training_recipe(source or ""))


def read_evaluation(path: Path | None) -> dict[str, Any] | None:
    """What `vidattn eval --json` printed into a file. Raises DataError for anything else."""
    if path is None:
        return None
    with reading(f"--metrics {path}", DataError):
        plain = parse_object(read_file(path))
    if plain is None:
        hint = "vidattn eval -m MODEL --dataset NAME --json > eval.json"
        raise DataError(f"--metrics {path}: not what vidattn eval --json prints", hint=hint)
    return plain


def read_labels(path: Path, known: Sequence[str]) -> tuple[str, ...]:
    """New names for the labels `known`, from a text file.

    The file has one name per line, in order, or lines of `old<TAB>new` that rename some labels.
    Raises WeightsError for anything else.
    """
    try:
        with reading(f"--labels {path}", WeightsError):
            names = read_file(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise WeightsError(
            f"--labels {path}: not UTF-8 text", hint="a text file of class names, one per line"
        ) from None
    names = [name.strip() for name in names if name.strip()]
    if names and all("\t" in name for name in names):
        pairs = [name.split("\t", 1) for name in names]
        renamed = {old.strip(): new.strip() for old, new in pairs}
        if unknown := [old for old in renamed if old not in known]:
            raise WeightsError(f"{path}: there is no label {unknown[0]!r} to rename")
        return tuple(renamed.get(name, name) for name in known)
    if len(names) != len(known):
        raise WeightsError(
            f"{path}: {len(names)} names for {len(known)} classes",
            hint="one per line, in order; or lines of old name, tab, new name for some",
        )
    return tuple(names)


def default_views(model: str | None) -> ViewConfig:
    """The views of the recipe that trained a model, or of its published score, or 3x1."""
    from vidattn.data.sampling import parse_views
    from vidattn.weights.catalog import CATALOG
    from vidattn.weights.loading import read_training_recipe

    recipe = read_training_recipe(model) if model else None
    if recipe is not None:
        return recipe.views
    entry = CATALOG.get(model or "")
    return parse_views(entry.views) if entry and entry.views != "tiled" else ViewConfig()
