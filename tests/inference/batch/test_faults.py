"""Runs in which a disk fills up or a decoder dies: only the input at hand suffers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import write_video
from tests.inference.batch.conftest import Segment
from tests.inference.batch.test_runner import raising
from tests.video.helpers import rehearse
from vidattn.errors import OutputError
from vidattn.inference.batch import output_files
from vidattn.inference.batch.events import Failed
from vidattn.io.files import sha256_file
from vidattn.timeline import Decoding
from vidattn.video.process.client import SupervisedVideo

FULL = OutputError("out: cannot be written: No space left on device")


def test_a_stop_between_two_files_of_a_result_leaves_it_incomplete(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segment("videos/a.mp4").failed == {}
    write = output_files.write_atomically

    written: list[Path] = []

    def full_after_one(*given: object, **more: object) -> Path:
        if written:
            raise FULL
        written.append(write(*given, **more))  # type: ignore[arg-type]
        return written[0]

    monkeypatch.setattr(output_files, "write_atomically", full_after_one)
    with pytest.raises(OutputError):
        segment("videos/a.mp4", skip_existing=True, overlap=0.5)
    monkeypatch.setattr(output_files, "write_atomically", write)
    assert segment("videos/a.mp4", skip_existing=True, overlap=0.5).done == ["videos/a.mp4"]
    rows = Path("out/a.vidattn.csv").read_bytes()
    segment("videos/a.mp4", overlap=0.5)
    assert Path("out/a.vidattn.csv").read_bytes() == rows


def test_another_annotated_video_is_replaced(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> bool:
        """Whether the video is written again."""
        again = segment("videos/a.mp4", formats="json,mp4", skip_existing=True,
                        decoding=Decoding(threshold=0.2))  # fmt: skip
        return "wrote out/a.vidattn.mp4" in again.notes

    annotated = Path("out/a.vidattn.mp4")
    segment("videos/a.mp4", formats="json,mp4")
    old = sha256_file(annotated)
    with monkeypatch.context() as patch:
        patch.setattr("vidattn.inference.batch.videos.annotate_events", raising(FULL))
        with pytest.raises(OutputError):
            run()
    assert sha256_file(annotated) == old
    assert run()
    new = sha256_file(annotated)
    assert new != old
    assert not run()
    annotated.write_bytes(annotated.read_bytes()[:-1])
    assert run()
    assert sha256_file(annotated) == new


@pytest.mark.parametrize(
    ("fault", "moment", "code", "reason"),
    [
        ("abort", "open", "E_DECODER_DIED", "the decoder died (signal SIGABRT)"),
        ("sleep", "frames", "E_TIMEOUT", "the decoder sent nothing for 0.7 s"),
        ("fork", "open", "E_DECODER_DIED", "the decoder made a forbidden system call and was"),
        ("fork", "frames", "E_DECODER_DIED", "the decoder made a forbidden system call and was"),
        ("hoard", "open", "E_MEMORY", "out of memory while decoding: "),
        ("hoard", "frames", "E_MEMORY", "out of memory while decoding: "),
    ],
)
def test_a_decoder_that_fails_with_one_video_costs_no_other(
    fault: str,
    code: str,
    reason: str,
    moment: str,
    segment: Segment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "abc":
        (tmp_path / "three").mkdir(exist_ok=True)
        write_video(tmp_path / "three" / f"{name}.mp4", seconds=1)
    begin = SupervisedVideo._begin

    def rehearsed(video: SupervisedVideo, reader: str, *, fresh: bool = False) -> None:
        bad = video._name.endswith("b.mp4")
        if bad and fault == "sleep":
            video.limits = replace(video.limits, silence_seconds=0.7)
        with monkeypatch.context() as inner:
            if bad:
                rehearse(inner, f"{fault}-{moment}")
            begin(video, reader, fresh=True)  # a decoder that is kept has no faults

    monkeypatch.setattr(SupervisedVideo, "_begin", rehearsed)
    run = segment("three")
    assert run.done == ["three/a.mp4", "three/c.mp4"]
    assert run.failed == {"three/b.mp4": code}
    (failed,) = (event for event in run.events if isinstance(event, Failed))
    assert reason in failed.error.message
