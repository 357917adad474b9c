"""Batch runs from Python: outcomes, skipping, retrying, sharing, stopping; nothing is printed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest

import vidattn
from tests.helpers import write_video
from tests.inference.batch.conftest import Segment
from tests.video.helpers import write_numbered
from vidattn.errors import MemoryLimitError, OutputError, UsageError, VideoError
from vidattn.inference import stream
from vidattn.inference.batch import output_files
from vidattn.inference.batch.events import Done, Failed, InputStarted, Written
from vidattn.inference.batch.failures import FailureList
from vidattn.inference.batch.segment import Segmenter
from vidattn.inference.events import Scored
from vidattn.inference.window_scoring import WindowScorer
from vidattn.io.files import sha256_file, write_atomically
from vidattn.io.locks import locked
from vidattn.models.classifier import Classifier
from vidattn.timeline import Decoding, Timeline

STREAM = "vidattn.inference.stream.stream"


def files(folder: Path, pattern: str = "*.vidattn.*") -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob(pattern))}


def codes(folder: Path) -> list[str]:
    """The reason codes in the list of failures."""
    return [record.code for record in FailureList(folder).read().values()]


def raising(error: BaseException) -> Callable[..., Iterator[object]]:
    """A substitute for `stream` that fails when its first event is requested."""

    def fail(*_: object, **__: object) -> Iterator[object]:
        raise error
        yield

    return fail


def test_a_folder_is_segmented_from_python_silently(
    videos: Path, classifier: Classifier, capfd: pytest.CaptureFixture[str]
) -> None:
    def run() -> Iterator[object]:
        return vidattn.segment_many(["videos"], classifier, "out", formats="json,srt",
                                    stride=0.25, skip_existing=True)  # fmt: skip

    events = list(run())
    kinds = [type(event).__name__ for event in events if not isinstance(event, Scored)]
    whole = ["InputStarted", "Started", "Finished", "Written", "Done"]
    assert kinds == [*whole, "InputStarted", "Failed", *whole]
    first = next(event for event in events if isinstance(event, Done))
    alone = vidattn.segment("videos/a.mp4", classifier, stride=0.25)
    assert first.path == "videos/a.mp4"
    assert first.timeline.scores.tobytes() == alone.scores.tobytes()
    failed = next(event for event in events if isinstance(event, Failed))
    assert (failed.path, failed.code) == ("videos/c.mp4", "E_NOT_VIDEO")
    assert len(files(Path("out"))) == 4
    again = [type(event).__name__ for event in run() if not isinstance(event, InputStarted)]
    assert again == ["Skipped", "Failed", "Skipped"]
    assert capfd.readouterr() == ("", "")


def test_what_auto_has_chosen_is_no_result_of_float32(segment: Segment) -> None:
    def done(precision: Literal["auto", "fp32"]) -> list[str]:
        runtime = vidattn.Runtime("cpu", precision)
        return segment("videos/a.mp4", skip_existing=True, runtime=runtime).done

    assert done("auto") == ["videos/a.mp4"]
    assert done("auto") == []
    assert done("fp32") == ["videos/a.mp4"]


@pytest.mark.parametrize("how", ["close", "Ctrl-C"])
def test_a_stop_leaves_the_windows_so_far_and_a_resumed_run_the_same_bytes(
    segment: Segment, classifier: Classifier, how: str
) -> None:
    options = {"formats": "json,csv", "stride": 0.05, "skip_existing": True}
    segment("videos/a.mp4", out="whole", formats="json,csv", stride=0.05)
    events = vidattn.segment_many(["videos/a.mp4"], classifier, "out", **options)  # type: ignore[arg-type]
    scored = (event for event in events if isinstance(event, Scored))
    for _ in range(3):
        next(scored)
    if how == "close":
        events.close()
    else:
        event = events.throw(KeyboardInterrupt())
        assert isinstance(event, Written)
        assert len(event.timeline.windows) >= 3
        with pytest.raises(KeyboardInterrupt):
            next(events)
    part = vidattn.Timeline.from_json(Path("out/a.vidattn.json").read_bytes())
    assert {code for _, code in part.unreadable} == {"E_INTERRUPTED"}
    assert Path("out/a.vidattn.log").exists()
    assert segment("videos/a.mp4", stride=0.05, skip_existing=True).done == ["videos/a.mp4"]
    assert files(Path("out")) == files(Path("whole"))


def test_many_videos_are_classified_as_each_alone(
    videos: Path, classifier: Classifier, capfd: pytest.CaptureFixture[str]
) -> None:
    events = list(vidattn.classify_many(["videos"], classifier, "out"))
    done = {event.path: event.timeline for event in events if isinstance(event, Done)}
    assert list(done) == ["videos/a.mp4", "videos/deep/b.mp4"]
    for path, timeline in done.items():
        alone = vidattn.classify(path, classifier)
        assert timeline.scores.tobytes() == alone.scores.tobytes()
    assert capfd.readouterr() == ("", "")


def test_shards_write_what_one_run_writes(segment: Segment) -> None:
    segment(out="whole")
    shards = [segment(shard=f"{i}/3") for i in range(3)]
    assert sorted(len(one.done) for one in shards) == [0, 1, 1]
    assert files(Path("out")) == files(Path("whole"))
    assert segment(shard="5/6").events == []
    with pytest.raises(UsageError, match="counted from 0"):
        segment(shard="3/3")


def test_results_and_failures_are_skipped_until_a_change(segment: Segment, videos: Path) -> None:
    assert segment().failed == {"videos/c.mp4": "E_NOT_VIDEO"}
    out = Path("out")
    assert not list(out.rglob("*.lock"))
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.vidattn.*")}
    again = segment(skip_existing=True)
    assert (again.done, len(again.skipped), again.known) == ([], 2, ["videos/c.mp4"])
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.vidattn.*")} == before
    assert segment(retry_failed=True).known == []
    assert FailureList(out).read()["videos/c.mp4"].attempt == 2
    write_video(videos / "c.mp4", seconds=1)
    assert segment(skip_existing=True).done == ["videos/c.mp4"]
    assert not (out / "failures.jsonl").exists()


def test_a_video_with_days_between_two_frames_fails_alone(segment: Segment, videos: Path) -> None:
    ticks = [i * 100 + (20 * 86_400_000 if i >= 30 else 0) for i in range(60)]
    write_numbered(videos / "b.mkv", Fraction(1, 1000), ticks)
    run = segment(stride=0.1)
    assert run.failed == {"videos/b.mkv": "E_TOO_LARGE", "videos/c.mp4": "E_NOT_VIDEO"}
    (error,) = (e.error for e in run.events if isinstance(e, Failed) and e.path == "videos/b.mkv")
    assert "pauses of up to 1,728,000 s between frames" in error.message
    assert error.hint is not None
    assert "choose a longer --stride" in error.hint
    assert segment("videos/b.mkv", stride=0.1, end=3.0).failed == {}


def test_inputs_without_enough_memory_in_a_row_end_the_run(
    segment: Segment, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        write_video(videos / name, seconds=0.5)
    lack = MemoryLimitError("out of memory with a single clip", hint="fewer --frames")
    monkeypatch.setattr(STREAM, raising(lack))
    with pytest.raises(MemoryLimitError, match=r"videos/c\.mp4: out of memory with a single clip"):
        segment()
    assert codes(Path("out")) == ["E_MEMORY"] * 2
    with pytest.raises(MemoryLimitError):
        segment("videos/a.mp4")


def test_inputs_without_enough_memory_between_others_end_no_run(
    segment: Segment, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        write_video(videos / name, seconds=0.5)
    (videos / "deep" / "b.mp4").unlink()
    (videos / "b1.mp4").write_bytes(b"no video")
    plain = stream.stream
    lack = MemoryLimitError("out of memory with a single clip", hint="fewer --frames")
    monkeypatch.setattr(
        STREAM, lambda path, *a, **b: (plain if "b1" in path else raising(lack))(path, *a, **b)
    )
    assert list(segment().failed.values()).count("E_MEMORY") == 4  # a, b, (b1), c, d
    # A skipped input counts as one between the others, too.
    shutil.rmtree("out")
    write_video(videos / "b1.mp4", seconds=0.5)
    assert segment("videos/b1.mp4").done == ["videos/b1.mp4"]
    assert segment(skip_existing=True, out="out").failed["videos/d.mp4"] == "E_MEMORY"


def test_a_lack_of_memory_is_tried_again(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Segmenter.run

    def run(self: Segmenter, path: str, deliver: object) -> object:
        if path == "videos/a.mp4":
            raise MemoryError
        return plain(self, path, deliver)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "run", run)
        assert segment().failed == {"videos/a.mp4": "E_MEMORY", "videos/c.mp4": "E_NOT_VIDEO"}
    assert segment(skip_existing=True).known == ["videos/c.mp4"]
    assert codes(Path("out")) == ["E_NOT_VIDEO"]


def test_transient_failures_are_retried(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = VideoError("videos/a.mp4: the decoder died", code="E_DECODER_DIED")
    with monkeypatch.context() as patch:
        patch.setattr(STREAM, raising(dead))
        for attempt in (1, 2, 3, 3):
            run = segment("videos/a.mp4", skip_existing=True)
            assert run.failed == {"videos/a.mp4": "E_DECODER_DIED"}
            assert FailureList(Path("out")).read()["videos/a.mp4"].attempt == attempt
        assert run.known == ["videos/a.mp4"]
    assert segment("videos/a.mp4", retry_failed=True).done == ["videos/a.mp4"]


def test_missing_excerpts_and_embeddings_are_written_again(segment: Segment) -> None:
    def run(**more: object) -> str:
        outcome = segment("videos/a.mp4", formats="json", skip_existing=True, **more)
        assert outcome.skipped + outcome.done == ["videos/a.mp4"]
        return outcome.notes

    run()
    run(excerpts="cuts")
    (excerpt,) = Path("cuts").rglob("*.mp4")
    whole, digest = excerpt.read_bytes(), sha256_file(excerpt)
    assert "excerpt" not in run(excerpts="cuts")
    for damage in (excerpt.unlink, lambda: excerpt.write_bytes(whole[:-1])):
        damage()
        assert "wrote 1 excerpt" in run(excerpts="cuts")
        assert sha256_file(excerpt) == digest
    run(embeddings=True)
    (saved,) = Path("out").rglob("*.npz")
    embeddings = saved.read_bytes()
    saved.write_bytes(embeddings[:-40])
    assert "wrote out/a.vidattn.npz" in run(embeddings=True)
    assert saved.read_bytes() == embeddings
    assert run(embeddings=True) == ""


def test_damaged_files_are_written_again_from_the_scores(
    segment: Segment, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (videos / "c.mp4").unlink()
    formats = {"formats": "json,csv,srt,html", "skip_existing": True, "explain": True}
    segment(**formats)
    folder = Path("out/videos")
    whole = {path: path.read_bytes() for path in Path("out").rglob("*.vidattn.*")}
    assert len(whole) == 8
    monkeypatch.setattr(STREAM, raising(AssertionError("the model is not needed")))

    def damage(name: str, data: bytes) -> None:
        """Damage one file; the next run makes it again, and no other."""
        place = folder / name
        before = {path: path.stat().st_ino for path in whole if path != place}
        place.write_bytes(data)
        again = segment(**formats)
        assert again.notes == f"videos/a.mp4: made again from its scores: {place}"
        assert len(again.skipped) == 2
        assert {path: path.read_bytes() for path in whole} == whole
        assert {path: path.stat().st_ino for path in before} == before

    csv, page, saved = (whole[folder / f"a.vidattn.{ext}"] for ext in ("csv", "html", "json"))
    damage("a.vidattn.csv", csv.replace(b"0.000", b"0.001", 1))
    damage("a.vidattn.srt", b"")
    damage("a.vidattn.html", page.replace(b"<title>", b"<title>my ", 1))
    document = json.loads(saved)
    document["segments"][0]["label"] = "fly"
    damage("a.vidattn.json", json.dumps(document).encode())
    assert segment(**formats).notes == ""
    other = segment(formats="json,vtt,html", skip_existing=True, explain=True)
    assert "out/videos/deep/b.vidattn.vtt" in other.notes  # another format needs no model either


def test_only_a_result_of_the_same_video_model_and_settings_counts(
    segment: Segment, videos: Path, classifier: Classifier
) -> None:
    def redone(**more: object) -> bool:
        return bool(segment("videos/a.mp4", skip_existing=True, **more).done)

    saved = Path("out/a.vidattn.json")
    assert redone()
    assert not redone()
    assert redone(stride=0.3)
    assert redone(stride=0.3, decoding=Decoding(threshold=0.5))
    assert redone(end=0.9)
    renamed = replace(classifier, labels=("x", "y", "z"))
    other = list(vidattn.segment_many("videos/a.mp4", renamed, "out", skip_existing=True))
    assert any(isinstance(event, Done) for event in other)
    assert redone()
    document = json.loads(saved.read_text())
    document["coverage"] |= {"unreadable": [[0.5, 1.0]], "reasons": ["E_INTERRUPTED"]}
    saved.write_text(json.dumps(document))
    assert redone()
    saved.write_text(saved.read_text()[:200])
    assert redone()
    os.utime(videos / "a.mp4", ns=(0, time.time_ns()))  # written since
    assert redone()
    os.utime(videos / "a.mp4", ns=(0, time.time_ns() + 10**15))  # a clock that was wrong
    assert not redone()
    write_video(videos / "a.mp4", seconds=1.2)
    os.utime(videos / "a.mp4", ns=(0, 0))
    assert redone()


def test_the_result_of_another_video_is_not_replaced(segment: Segment, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "a.mp4", seconds=0.5)
    assert segment("x/a.mp4").failed == {}
    saved = Path("out/a.vidattn.json").read_bytes()
    assert segment("y/a.mp4").failed == {"y/a.mp4": "E_TAKEN"}
    assert Path("out/a.vidattn.json").read_bytes() == saved
    assert segment(str(tmp_path / "x" / "a.mp4")).failed == {}  # the same, by another name
    assert segment("x", "y").failed == {}


def test_only_json_proves_that_a_result_is_complete(segment: Segment) -> None:
    with pytest.raises(UsageError, match="recognized by their json files") as caught:
        segment(formats="srt", skip_existing=True)
    assert caught.value.hint is not None
    assert "add json" in caught.value.hint


def test_an_input_of_another_process_is_left_to_it(segment: Segment) -> None:
    """The other process does not finish: its input is done in the end."""
    lock, last = Path("out/videos/a.vidattn.lock"), Path("out/videos/deep/b.vidattn.json")
    begun = threading.Event()

    def hold() -> None:
        with locked(lock):
            begun.set()
            while not last.exists():
                time.sleep(0.01)

    other = threading.Thread(target=hold)
    other.start()
    begun.wait()
    with pytest.raises(OutputError, match="another run is writing it"):
        segment("videos/a.mp4", out="out/videos")
    assert segment().done == ["videos/deep/b.mp4", "videos/a.mp4"]
    other.join()
    assert not lock.exists()


def test_nothing_is_left_of_killed_runs(segment: Segment) -> None:
    segment("videos/a.mp4")
    out = Path("out")
    whole = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        # Killed between writing and renaming: nothing is removed.
        patch.setattr("vidattn.io.files._discard", lambda part: None)
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_atomically(out / "a.vidattn.json", b"half")
    for ending in ("lock", "log"):
        (out / f"a.vidattn.{ending}").touch()
    assert len(list(out.iterdir())) == len(whole) + 3
    assert segment("videos/a.mp4", skip_existing=True).skipped == ["videos/a.mp4"]
    assert {path: path.read_bytes() for path in out.iterdir()} == whole


def test_inputs_of_others_are_skipped(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    segment()
    plain, failures = Segmenter.run, FailureList(Path("out"))

    def run(self: Segmenter, path: str, deliver: object) -> object:
        # As if another process did all other inputs during the first one.
        for saved in Path("out").rglob("b.vidattn.json"):
            saved.write_bytes(saved.read_bytes())
            os.utime(saved)
        failures.add(replace(failures.read()["videos/c.mp4"], attempt=9))
        return plain(self, path, deliver)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "run", run)
    again = segment()  # without skip_existing: everything that is old is done again
    assert (again.done, again.skipped) == (["videos/a.mp4"], ["videos/deep/b.mp4"])
    assert again.known == ["videos/c.mp4"]
    assert failures.read()["videos/c.mp4"].attempt == 9


def test_options_that_do_not_exist_have_a_hint(segment: Segment) -> None:
    with pytest.raises(UsageError, match="-f 3: no such format"):
        segment(formats=[3])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no option 'strides'") as caught:
        segment(strides=2)
    assert "stride" in (caught.value.hint or "")


def test_a_decoder_that_stops_answering_leaves_the_windows_scored_until_then(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = WindowScorer.score

    def silent(*words: object) -> Iterator[Scored]:
        yield from islice(plain(*words), 2)  # type: ignore[arg-type]
        raise VideoError("videos/a.mp4: the decoder sent nothing for 30 s", code="E_TIMEOUT")

    options = {"formats": "json", "stride": 0.2, "window": 0.2}
    with monkeypatch.context() as patch:
        patch.setattr(WindowScorer, "score", silent)
        run = segment("videos/a.mp4", **options)
    assert run.done == ["videos/a.mp4"]
    assert "sent nothing for 30 s" in run.notes
    (saved,) = Path("out").rglob("*.json")
    timeline = Timeline.from_json(saved.read_text())
    assert len(timeline.windows) == 2
    assert {code for _, code in timeline.unreadable} == {"E_TIMEOUT"}
    assert segment("videos/a.mp4", skip_existing=True, **options).skipped == ["videos/a.mp4"]
    assert segment("videos/a.mp4", retry_failed=True, **options).done == ["videos/a.mp4"]
    assert Timeline.from_json(saved.read_text()).is_whole


def test_a_signal_while_files_are_written_waits_for_the_last_of_them(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = output_files.write_atomically

    def write(path: Path, data: bytes) -> Path:
        signal.raise_signal(signal.SIGINT)
        return plain(path, data)

    monkeypatch.setattr(output_files, "write_atomically", write)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            segment("videos/a.mp4", formats="json,srt,csv")
    finally:
        signal.signal(signal.SIGINT, before)
    written = {path.suffix for path in Path("out").rglob("*.vidattn.*")}
    assert {".json", ".srt", ".csv"} <= written
