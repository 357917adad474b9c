"""A folder of videos, a tiny model, and a function that runs one over the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import vidattn
from tests.helpers import write_tree
from vidattn.inference.batch.events import BatchEvent, Done, Failed, Note, Skipped
from vidattn.models.classifier import Classifier


@dataclass
class Outcome:
    """The events of a run."""

    events: list[BatchEvent]

    def paths(self, kind: type[Done | Skipped]) -> list[str]:
        return [event.path for event in self.events if isinstance(event, kind)]

    @property
    def done(self) -> list[str]:
        return self.paths(Done)

    @property
    def skipped(self) -> list[str]:
        return self.paths(Skipped)

    @property
    def failed(self) -> dict[str, str]:
        return {event.path: event.code for event in self.events if isinstance(event, Failed)}

    @property
    def known(self) -> list[str]:
        return [event.path for event in self.events if isinstance(event, Failed) and event.known]

    @property
    def notes(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Note))


Segment = Callable[..., Outcome]


@pytest.fixture(scope="session")
def classifier(model: Path) -> Classifier:
    return vidattn.load(model)


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`write_tree` below the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_tree(tmp_path / "videos")


@pytest.fixture
def segment(videos: Path, classifier: Classifier) -> Segment:
    """Segment paths, all videos by default, into json and csv files in "out"."""

    def run(
        *paths: str, out: str = "out", formats: str | list[str] = "json,csv", **options: Any
    ) -> Outcome:
        given = paths or ("videos",)
        return Outcome(
            list(vidattn.segment_many(given, classifier, out, formats=formats, **options))
        )

    return run
