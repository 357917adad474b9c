"""The directory of a training run: whether it holds one, and its log."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidattn.errors import OutputError, RecipeError
from vidattn.files import write_atomically

STATE = "state.safetensors"
"""The file that makes a directory a run: all that is needed to go on."""


def begun_in(run_dir: Path, resume: bool) -> bool:
    """Whether there is a checkpoint to go on from; raises unless that is what `resume` expects."""
    begun = (run_dir / STATE).exists()
    if begun and not resume:
        raise OutputError(
            f"{run_dir}: already holds a run", hint="--resume goes on; or choose another --run-dir"
        )
    if not begun and (run_dir / "model.safetensors").exists():
        raise OutputError(
            f"{run_dir}: already holds a model, but no {STATE} to go on from",
            hint=f"choose another --run-dir; --init {run_dir} starts from that model",
        )
    if not begun and resume and not (run_dir / "recipe.json").exists():
        raise RecipeError(
            f"{run_dir}: holds no run to go on with",
            hint="name the directory of the run with --run-dir, or leave out --resume to begin one",
        )
    return begun


class Log:
    """log.jsonl: what happened up to `step`, one JSON object a line; later lines are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        text = path.read_text("utf-8", errors="replace") if step and path.exists() else ""
        self.path = path
        self.lines = [line for line in text.splitlines() if _step_of(line) <= step]
        self._flush()

    def add(self, event: Any) -> Any:
        """Append an event and hand it back."""
        self.lines.append(json.dumps({"event": type(event).__name__.lower(), **asdict(event)}))
        self._flush()
        return event

    def _flush(self) -> None:
        write_atomically(self.path, "".join(line + "\n" for line in self.lines).encode())


def _step_of(line: str) -> float:
    """The step a line of the log speaks of, 0 for none, infinity for a line that is torn."""
    try:
        plain = json.loads(line)
    except json.JSONDecodeError:
        return math.inf
    step = plain.get("step", 0) if isinstance(plain, dict) else None
    return step if isinstance(step, int) else math.inf


def write_json(path: Path, plain: Any) -> None:
    """Write what JSON can say to a file, whole or not at all."""
    write_atomically(path, (json.dumps(plain, indent=2) + "\n").encode())
