"""The folder of a training run: its checkpoints, its log, and a row for every epoch.

recipe.json          the recipe of the run
log.jsonl            the events; identical for two runs of the same recipe
metrics.csv          a row for every epoch, with its seconds
curves.svg, .html    the metrics as a picture and as a page
model.safetensors    the model after the last epoch; best.safetensors: after the best one
checkpoints/         the states to resume from; the last few are kept
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from vidattn.errors import OutputError, RecipeError
from vidattn.io.files import exists, open_output, read_file, write_atomically, writing
from vidattn.io.json import parse_object
from vidattn.io.locks import locked
from vidattn.training.events import FATES, LOG_NAMES, SCORES

CHECKPOINTS = "checkpoints"
LOCK = ".vidattn.lock"
LINGER = 15.0
"""Seconds to wait for another process to leave the directory."""
TIMINGS = ("steps", "clips_per_second", "seconds_left", "seconds", "waiting")
"""Fields of events that depend on speed; the log leaves them out, so that it repeats exactly."""


def checkpoints(run_dir: Path) -> list[Path]:
    """The checkpoints in a run directory, the newest first."""
    paths = (run_dir / CHECKPOINTS).glob("*.safetensors")
    return sorted((path for path in paths if path.stem.isdigit()), reverse=True)


def checkpoint_path(run_dir: Path, step: int) -> Path:
    """The path of the checkpoint after a step."""
    return run_dir / CHECKPOINTS / f"{step:08d}.safetensors"


def remove_old_checkpoints(run_dir: Path, count: int) -> None:
    """Remove all but the newest `count` checkpoints."""
    for path in checkpoints(run_dir)[count:]:
        path.unlink(missing_ok=True)


def has_checkpoint(run_dir: Path, resume: bool) -> bool:
    """Whether there is a checkpoint; raises OutputError or RecipeError if `resume` disagrees."""
    begun = bool(checkpoints(run_dir))
    if begun and not resume:
        raise OutputError(
            f"{run_dir}: already holds a run",
            hint="add --resume to continue it, or choose another --run-dir",
        )
    if not begun and exists(run_dir / "model.safetensors"):
        raise OutputError(
            f"{run_dir}: already holds a model, but no {CHECKPOINTS} to resume from",
            hint=f"choose another --run-dir; --init {run_dir} starts from that model",
        )
    if not begun and resume and not exists(run_dir / "recipe.json"):
        raise RecipeError(
            f"{run_dir}: holds no run to resume",
            hint="name the folder of the run with --run-dir, or leave out --resume to start one",
        )
    return begun


def require_writable(run_dir: Path, hint: str = "choose another --run-dir") -> None:
    """Raise OutputError, before any work, if a folder cannot be written."""
    with writing(run_dir, hint=hint):
        there = next(path for path in (run_dir, *run_dir.absolute().parents) if exists(path))
        TemporaryFile(dir=there).close()


@contextmanager
def lock_run_dir(run_dir: Path) -> Iterator[None]:
    """Create and lock the directory, and remove partial files. Raises OutputError.

    The lock ends with the process that holds it.
    """
    hint = "choose another --run-dir"
    with ExitStack() as stack:
        with writing(run_dir, hint=hint):
            is_locked = stack.enter_context(locked(run_dir / LOCK, timeout=LINGER))
        if not is_locked:
            raise OutputError(f"{run_dir}: another process trains here", hint=hint)
        for path in (*run_dir.glob(".vidattn-*.part"), *run_dir.glob("*/.vidattn-*.part")):
            path.unlink(missing_ok=True)
        yield


class RunLog:
    """log.jsonl: one JSON object a line, flushed to disk with every line.

    size, step: length of the file when the checkpoint of that step was saved. Later lines are
    dropped, except up to the validation of that very step. Of two lines about the same epoch, which
    was validated later because it had become the last one, only the later one counts.
    """

    def __init__(self, path: Path, size: int = 0, step: int = 0) -> None:
        data = read_file(path, regular=True) if (size or step) and exists(path) else b""
        rows = [*_rows(data[:size])]
        later = [*_rows(data[size:])]
        last = ("epoch", "verdict")
        ends = [i for i, row in enumerate(later) if row["event"] in last and row["step"] == step]
        if ends:
            rows += later[: ends[-1] + 1]
        self.path, self.rows = path, _latest(rows)
        self.lost: dict[str, set[str]] = {fate: set() for fate in FATES}
        """The videos that could not be read, by fate."""
        for row in rows:
            self._note(row)
        text = b"".join(map(_line, self.rows))
        self.size = len(text)
        write_atomically(path, text)

    def add(self, event: Any) -> Any:
        """Append an event, without its timings, and return it."""
        plain = {key: value for key, value in asdict(event).items() if key not in TIMINGS}
        row = {"event": LOG_NAMES[type(event)], **plain}
        line = _line(row)
        flags = os.O_WRONLY | os.O_APPEND
        with writing(self.path), os.fdopen(open_output(self.path, flags), "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.rows = _latest([*self.rows, row]) if row["event"] == "epoch" else [*self.rows, row]
        self._note(row)
        self.size += len(line)
        return event

    def _note(self, row: Mapping[str, Any]) -> None:
        if row["event"] == "lost":
            self.lost[row["fate"]].add(row["path"])

    def epochs(self) -> list[dict[str, Any]]:
        """The rows of finished epochs."""
        return [row for row in self.rows if row["event"] == "epoch"]


def _latest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, without the earlier of two about the same epoch."""
    last = {row["step"]: i for i, row in enumerate(rows) if row["event"] == "epoch"}
    return [row for i, row in enumerate(rows) if row["event"] != "epoch" or last[row["step"]] == i]


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _rows(data: bytes) -> Iterator[dict[str, Any]]:
    """The rows of a log, up to the first line that is not whole."""
    for line in data.split(b"\n"):
        row = parse_object(line)
        if row is None or "event" not in row:
            return
        yield row


class MetricsFile:
    """metrics.csv: a row for every epoch; no scores where the model was not validated.

    Only the columns `seconds` and `waiting` (the fraction spent waiting for data) differ between
    two runs of the same recipe.
    """

    def __init__(self, path: Path, epochs: int = 0) -> None:
        self.path, self._rows = path, list[dict[str, str]]()
        if epochs and exists(path):
            text = read_file(path, regular=True).decode("utf-8", "replace")
            self._rows = list(csv.DictReader(io.StringIO(text, newline="")))[:epochs]

    def add(self, epoch: Mapping[str, Any], seconds: float, waiting: float) -> None:
        """Append the row of an epoch, given its row of the log, or update its scores."""
        row = {name: epoch[name] for name in ("epoch", "step", "loss", "lr")}
        row["train_top1"] = epoch.get("train_top1", "")  # logs of earlier versions lack it
        names = tuple(epoch["scores"]) or SCORES
        row |= {name: epoch["scores"].get(name, "") for name in names}
        row |= {"seconds": seconds, "waiting": waiting}
        plain = {key: f"{v:.6g}" if isinstance(v, float) else str(v) for key, v in row.items()}
        known = next((r for r in self._rows if r.get("epoch") == plain["epoch"]), None)
        if known is None:
            self._rows.append(plain)
        elif any(known.get(name) != plain[name] for name in names):
            known.update({name: plain[name] for name in names})
        else:
            return
        text = io.StringIO()
        writer = csv.DictWriter(
            text, list(plain), extrasaction="ignore", restval="", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(self.path, text.getvalue().encode())


def write_json(path: Path, plain: Any) -> None:
    """Write JSON values to a file atomically."""
    write_atomically(path, (json.dumps(plain, indent=2) + "\n").encode())
