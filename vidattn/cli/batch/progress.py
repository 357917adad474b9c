"""Following the segmentation of one file: progress, notes, and what is kept when it is stopped."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vidattn.cli.terminal import timeline as report
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.live import watching
from vidattn.cli.terminal.signals import StopRequested
from vidattn.data.embeddings import make_embeddings, save_embeddings
from vidattn.errors import InputError
from vidattn.inference.events import (
    Event,
    Finished,
    Scored,
    Started,
    collect,
    describe_input,
    describe_model,
)
from vidattn.inference.score_log import ScoreLog
from vidattn.inference.shot_detection import measure_changes
from vidattn.io.json import to_json_value
from vidattn.models.classifier import Classifier
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.shot_cuts import find_cuts
from vidattn.types import Window
from vidattn.video import Opening, open_video


@dataclass(frozen=True)
class Job:
    """One file that is being segmented."""

    desk: Console
    classifier: Classifier
    decoding: Decoding
    keep: Callable[[Timeline], None]
    """Takes what is known when a signal ends the work."""
    log: ScoreLog
    part: Mapping[str, float | None] = field(default_factory=dict)
    """What of the file was asked for: "start" and "end", in seconds."""

    def follow(self, events: Iterator[Event], finished: Path | None) -> Finished:
        """Show progress until the timeline is there.

        finished: where an earlier run would have put it; then it is not made again.
        """
        started = next(events)
        assert isinstance(started, Started)
        if finished is not None and (saved := self._saved(started, finished)) is not None:
            self.desk.note(f"{started.source}: was finished before")
            return Finished(saved)
        for text in (*started.facts.warnings, *started.notes):
            self.desk.note(f"{started.source}: {text}")
        done: list[Scored] = []
        try:
            with watching(
                self.desk, started, self.classifier.labels, self.decoding.threshold
            ) as watch:
                for event in events:
                    while self.log.notes:
                        self.desk.note(self.log.notes.pop(0))
                    if isinstance(event, Finished):
                        return event
                    assert isinstance(event, Scored)
                    done.append(event)
                    if event.index < len(started.windows):
                        watch.step(event)
        except StopRequested:
            if any(event.scores is not None for event in done):
                self.keep(collect(started, done, self.classifier, self.decoding))
            raise
        raise AssertionError("a stream ends with its timeline")

    def keep_vectors(self, found: Finished, path: Path) -> Path:
        """Write what the model saw of each window. Raises OutputError."""
        timeline, vectors = found.timeline, found.embeddings
        assert vectors is not None
        seen = make_embeddings(
            timeline.source,
            timeline.windows,
            vectors,
            timeline.model.to_dict(),
            timeline.settings.to_dict(),
        )
        return save_embeddings(seen, path)

    def cut(self, timeline: Timeline, reader: str, opening: Opening = open_video) -> Timeline:
        """The timeline with the shot cuts of what it covers, unless it has them already.

        What was known without them is kept when a signal ends the search.
        """
        if timeline.cuts is not None:
            return timeline
        part = Window(timeline.windows[0].start, max(w.stop for w in timeline.windows))
        try:
            return replace(timeline, cuts=_cuts(self.desk, timeline.source, part, reader, opening))
        except StopRequested:
            self.keep(timeline)
            raise

    def _saved(self, started: Started, path: Path) -> Timeline | None:
        """The timeline of an earlier run, if it came to its end.

        Raises InputError when it is one of another film, model or settings.
        """
        if self.log.path.exists() or not path.exists():
            return None
        saved = report.saved(str(path))
        if any(code == "E_INTERRUPTED" for _, code in saved.unreadable):
            return None
        there: dict[str, Mapping[str, Any]] = {
            "input": {"path": saved.source, **saved.input.to_dict()},
            "model": saved.model.to_dict(),
            "settings": saved.settings.to_dict(),
        }
        wanted: dict[str, Mapping[str, Any]] = {
            "input": {"path": started.source, **describe_input(started.facts).to_dict()},
            "model": describe_model(self.classifier).to_dict(),
            "settings": started.settings.to_dict(),
        }
        if saved.settings.asked is not None:
            there["part"], wanted["part"] = saved.settings.asked, self.part
        differences = [
            f"{part} {key} was {to_json_value(there[part].get(key))}, is {to_json_value(value)}"
            for part, rows in wanted.items()
            for key, value in rows.items()
            if to_json_value(there[part].get(key)) != to_json_value(value)
        ]
        if saved.labels != self.classifier.labels:
            differences.append("the labels are others")
        if differences:
            raise InputError(
                f"{path}: is of another run: {'; '.join(differences)}",
                hint="repeat what that run was asked for, or leave out --resume to begin anew",
            )
        return saved.decoded(**asdict(self.decoding))


def followed(desk: Console, events: Iterator[Event]) -> Timeline:
    """Show the progress of one file until its timeline is there; nothing is kept on a stop."""
    started = next(events)
    assert isinstance(started, Started)
    for text in (*started.facts.warnings, *started.notes):
        desk.note(f"{started.source}: {text}")
    with desk.progress(started.source, len(started.windows)) as track:
        for event in events:
            if isinstance(event, Finished):
                return event.timeline
            track.step()
    raise AssertionError("a stream ends with its timeline")


def _cuts(
    desk: Console, path: str, part: Window, reader: str, opening: Opening
) -> tuple[float, ...]:
    """The shot cuts of a part of a film, found with a bar to look at."""
    rows = measure_changes(path, part, reader, opening)
    first = next(rows, None)
    if first is None:
        return ()
    differences, times = array("d", [first.difference]), array("d", [first.time])
    with desk.progress(f"{path}, looking for cuts", first.frames - 1) as track:
        for row in rows:
            differences.append(row.difference)
            times.append(row.time)
            track.step()
    return find_cuts(differences, times)
