"""Notes about the model of a command: once, and short."""

from __future__ import annotations

from typing import Any

import pytest

from vidattn.cli.model_loading import load_model
from vidattn.cli.option_groups import ModelOptions
from vidattn.weights import download


class Notes:
    """A console that keeps its notes."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def note(self, message: str) -> None:
        self.taken.append(message)


def test_a_default_that_cannot_be_downloaded_is_one_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise download.UnavailableError("no network")

    monkeypatch.setattr(download, "download", refuse)
    monkeypatch.setattr(download, "is_cached", lambda _: False)
    notes = Notes()
    load_model(notes, ModelOptions())
    assert len(notes.taken) == 1
    assert notes.taken[0].startswith("timesformer-k400 is not available (no network); using")


def test_a_download_is_noted_once_when_it_begins_by_its_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def receive(*_: object, progress: Any, **__: object) -> None:
        progress(1, 2)
        progress(2, 2)
        raise download.UnavailableError("lost")

    monkeypatch.setattr(download, "download", receive)
    monkeypatch.setattr(download, "is_cached", lambda _: False)
    notes = Notes()
    load_model(notes, ModelOptions())
    first, second = notes.taken
    assert first.startswith("downloading timesformer-k400 (Apache-2.0) from ")
    assert "/" not in first.removeprefix("downloading timesformer-k400")
    assert second.startswith("timesformer-k400 is not available (lost)")
