"""A run over many films in which a disk fills up or a decoder dies: only what it hits is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_film
from tests.cli.test_batch import WANTED, corpus, failures, raising
from vidattn import output
from vidattn.errors import OutputError
from vidattn.video.process.client import SupervisedVideo

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


def test_a_film_of_another_timeline_is_not_taken_for_this_one(
    quick: Run, corpus: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("segment", "films/a.mp4", "-m", model, "-f", "json,mp4", "-o", "out")
    made = Path("out/a.vidattn.mp4")
    again = (*words, "--skip-existing", "--threshold", "0.2")
    assert quick(*words).returncode == 0
    old = made.read_bytes()
    with monkeypatch.context() as killed:
        killed.setattr(
            "vidattn.inference.batch.videos.annotate_events",
            raising(OutputError("out: No space left")),
        )
        assert quick(*again).returncode == 5
    assert made.read_bytes() == old
    assert "wrote out/a.vidattn.mp4" in quick(*again).stderr
    new = made.read_bytes()
    assert new != old
    assert "wrote" not in quick(*again).stderr
    made.write_bytes(new[:-1])
    assert "wrote out/a.vidattn.mp4" in quick(*again).stderr
    assert made.read_bytes() == new


@pytest.mark.parametrize("moment", ["open", "frames"])
@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        ("abort", "E_DECODER_DIED", "the decoder died (signal SIGABRT)"),
        ("sleep", "E_TIMEOUT", "the decoder sent nothing for 0.7 s"),
        ("hoard", "E_MEMORY", "out of memory while decoding: "),
    ],
)
def test_a_decoder_that_fails_with_one_film_costs_no_other(
    fault: str,
    code: str,
    reason: str,
    moment: str,
    quick: Run,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "films").mkdir()
    for name in "abc":
        write_film(tmp_path / "films" / f"{name}.mp4", seconds=1)
    begin = SupervisedVideo._begin

    def rehearsed(video: SupervisedVideo, reader: str, *, fresh: bool = False) -> None:
        bad = video._name.endswith("b.mp4")
        monkeypatch.setenv("VIDATTN_REHEARSE", f"{fault}-{moment}" if bad else "")
        if bad and fault == "sleep":
            video.limits = replace(video.limits, silence_seconds=0.7)
        begin(video, reader, fresh=True)  # a decoder that is kept has another environment

    monkeypatch.setattr(SupervisedVideo, "_begin", rehearsed)
    done = quick("segment", "films", "-m", model, *WANTED)
    assert done.returncode == 4, done.stderr
    (one,) = failures(tmp_path / "out")
    assert (one["path"], one["code"]) == ("films/b.mp4", code)
    assert reason in str(one["message"])
    written = sorted(path.name for path in (tmp_path / "out" / "films").glob("*.json"))
    assert written == ["a.vidattn.json", "c.vidattn.json"]
