"""A run over many films in which a disk fills up or a decoder dies: only what it hits is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_film
from tests.cli.test_corpus import WANTED, corpus, failures
from vidattn import output
from vidattn.errors import OutputError
from vidattn.video.supervised import SupervisedVideo

__all__ = ["corpus"]


def test_what_stops_between_two_files_of_a_result_is_not_taken_for_complete(
    quick: Run, corpus: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("segment", "films/a.mp4", "-m", model, *WANTED, "--skip-existing")
    assert quick(*words, "--overlap", "0").returncode == 0
    write = output.write

    def full_after_one(*given: object, **more: object) -> Path:
        monkeypatch.setattr(output, "write", full)
        return write(*given, **more)  # type: ignore[arg-type]

    def full(*_: object, **__: object) -> Path:
        raise OutputError("out: cannot be written: No space left on device")

    monkeypatch.setattr(output, "write", full_after_one)
    assert quick(*words, "--overlap", "0.5").returncode == 5
    monkeypatch.setattr(output, "write", write)
    again = quick(*words, "--overlap", "0.5")
    assert (again.returncode, "is done" in again.stderr) == (0, False)
    rows = Path("out/a.vidattn.csv").read_bytes()
    assert quick(*words[:-1], "--overlap", "0.5").returncode == 0
    assert Path("out/a.vidattn.csv").read_bytes() == rows


@pytest.mark.parametrize("moment", ["open", "frames"])
def test_a_decoder_that_dies_of_one_film_costs_no_other(
    moment: str, quick: Run, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films").mkdir()
    for name in "abc":
        write_film(tmp_path / "films" / f"{name}.mp4", seconds=1)
    begin = SupervisedVideo._begin

    def rehearsed(video: SupervisedVideo, reader: str, *, fresh: bool = False) -> None:
        bad = video._name.endswith("b.mp4")
        monkeypatch.setenv("VIDATTN_REHEARSE", f"abort-{moment}" if bad else "")
        begin(video, reader, fresh=True)  # a decoder that is kept has another environment

    monkeypatch.setattr(SupervisedVideo, "_begin", rehearsed)
    done = quick("segment", "films", "-m", model, *WANTED)
    assert done.returncode == 4, done.stderr
    assert [(one["path"], one["code"]) for one in failures(tmp_path / "out")] == [
        ("films/b.mp4", "E_DECODER_DIED")
    ]
    written = sorted(path.name for path in (tmp_path / "out" / "films").glob("*.json"))
    assert written == ["a.vidattn.json", "c.vidattn.json"]
