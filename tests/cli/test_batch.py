"""Many inputs in one run: names, shards, what is passed over, what fails, who does what."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_film
from tests.video.films import write_numbered
from vidattn.errors import InputError, MemoryLimitError, UsageError, VideoError
from vidattn.inference import stream as infer
from vidattn.inference.batch.failures import FailureList, FailureRecord
from vidattn.inference.batch.inputs import (
    VideoInput,
    find_videos,
    name_results,
    parse_shard,
    select_shard,
)
from vidattn.io.files import write_atomically
from vidattn.io.locks import locked

WANTED = ("-f", "json,csv", "-o", "out")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two films and a text that is none, one folder deep."""
    folder = tmp_path / "films"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/b.mp4"):
        write_film(folder / name, seconds=1)
    (folder / "c.mp4").write_text("no film")
    return folder


def paths(*names: str) -> list[VideoInput]:
    return [VideoInput(name) for name in names]


def failures(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]


def test_results_keep_the_tree_of_what_was_found_and_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films" / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/a.mp4", "deep/b.mkv", "deep/b.mp4"):
        (tmp_path / "films" / name).touch()
    (tmp_path / "list").write_text(f"films/a.mp4\n{tmp_path}/films/a.mp4\n../x/c.mp4\n")
    monkeypatch.chdir(tmp_path)

    def named(*given: str) -> list[str]:
        return list(name_results(find_videos(given)).values())

    assert named("films/a.mp4") == ["a"]
    tree = ["films/a", "films/deep/a", "films/deep/b.mkv", "films/deep/b.mp4"]
    assert named("films") == named("films/") == named(f"{tmp_path}/films") == tree
    assert named("films/deep/*") == tree[1:]
    inside = tmp_path / "films"
    assert named("@list") == ["films/a", str(inside)[1:] + "/a", "x/c"]
    monkeypatch.chdir(inside)
    assert named(".") == [name.removeprefix("films/") for name in tree]


def test_names_never_clash() -> None:
    found = name_results(paths("x/a.mp4", "y/a.mp4", "a.mkv", "a.mkv.mp4", "b.mp4"))
    assert len(set(found.values())) == len(found)
    assert found["b.mp4"] == "b"
    assert found["a.mkv"] != "a.mkv"  # the extension alone would not tell it from a.mkv.mp4


@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_input_is_in_one_shard_whatever_the_order(tmp_path: Path, count: int) -> None:
    files = [tmp_path / f"{i}.mp4" for i in range(40)]
    for i, file in enumerate(files):
        file.write_bytes(bytes(i * i))
    inputs = paths(*map(str, files), str(tmp_path / "gone.mp4"))
    shards = [select_shard(inputs, i, count) for i in range(count)]
    assert sorted(p.path for s in shards for p in s) == sorted(p.path for p in inputs)
    backwards = [set(select_shard(inputs[::-1], i, count)) for i in range(count)]
    assert backwards == [set(shard) for shard in shards]
    loads = [sum(Path(p.path).stat().st_size for p in s if "gone" not in p.path) for s in shards]
    assert max(loads) - min(loads) <= 39 * 39


@pytest.mark.parametrize("text", ["3/3", "1", "-1/3", "0/0", "a/b", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)


def test_shards_write_what_one_run_writes(
    quick: Run, model: Path, corpus: Path, tmp_path: Path
) -> None:
    words = ("segment", "films", "-m", model, "-f", "json")
    assert quick(*words, "-o", "whole").returncode == 4
    codes = [quick(*words, "-o", "out", "--shard", f"{i}/3").returncode for i in range(3)]
    assert sorted(codes) == [0, 0, 3]
    assert quick(*words, "-o", "out", "--shard", "3/3").returncode == 2
    whole, out = (
        {p.relative_to(tmp_path / f): p.read_bytes() for p in (tmp_path / f).rglob("*.json")}
        for f in ("whole", "out")
    )
    assert whole == out
    assert len(whole) == 2
    more = quick(*words, "-o", "out", "--shard", "5/6")
    assert (more.returncode, more.stdout) == (0, "")


def test_what_is_complete_or_has_failed_is_passed_over(
    quick: Run, model: Path, corpus: Path, tmp_path: Path
) -> None:
    words = ("segment", "films", "-m", model, *WANTED)
    assert quick(*words).returncode == 4
    out = tmp_path / "out"
    (one,) = failures(out)
    assert (one["path"], one["code"], one["attempt"]) == ("films/c.mp4", "E_NOT_VIDEO", 1)
    assert not list(out.rglob("*.lock"))
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    again = quick(*words, "--skip-existing")
    assert again.returncode == 4
    assert "films/a.mp4: is done" in again.stderr
    assert "films/c.mp4: has failed before (E_NOT_VIDEO)" in again.stderr
    assert {p: p.stat().st_mtime_ns for p in before if p.suffix != ".jsonl"} == {
        p: t for p, t in before.items() if p.suffix != ".jsonl"
    }
    retried = quick(*words, "--retry-failed")
    assert retried.returncode == 4
    assert failures(out)[0]["attempt"] == 2
    write_film(corpus / "c.mp4", seconds=1)  # another file of that name: it is tried
    assert quick(*words, "--skip-existing").returncode == 0
    assert not (out / "failures.jsonl").exists()
    assert (out / "films" / "c.vidattn.json").exists()


def test_a_film_with_days_between_two_frames_is_a_failure_of_that_film(
    quick: Run, model: Path, corpus: Path, tmp_path: Path
) -> None:
    ticks = [i * 100 + (20 * 86_400_000 if i >= 30 else 0) for i in range(60)]
    write_numbered(corpus / "b.mkv", Fraction(1, 1000), ticks)
    (corpus / "c.mp4").unlink()
    done = quick("segment", "films", "-m", model, *WANTED, "--stride", 0.1)
    assert done.returncode == 4
    assert "pauses of up to 1,728,000 s between frames" in done.stderr
    assert "choose a longer --stride" in done.stderr
    assert [one["code"] for one in failures(tmp_path / "out")] == ["E_TOO_LARGE"]
    assert len(list((tmp_path / "out").rglob("*.json"))) == 2
    part = quick("segment", corpus / "b.mkv", "-m", model, *WANTED, "--end", 3)
    assert part.returncode == 0


@pytest.mark.parametrize(
    ("lacking", "code", "codes"),
    [
        ({"films/a.mp4"}, 4, ["E_MEMORY", "E_NOT_VIDEO"]),
        ({"films/a.mp4", "films/deep/b.mp4"}, 6, ["E_MEMORY", "E_NOT_VIDEO", "E_MEMORY"]),
    ],
)
def test_films_that_memory_is_lacking_for_are_failures_and_the_others_go_on(
    quick: Run,
    model: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: set[str],
    code: int,
    codes: list[str],
) -> None:
    from vidattn.inference.batch.segment import Segmenter

    plain = Segmenter.run

    def call(self: Segmenter, path: str, deliver: object) -> object:
        if path in lacking:
            raise MemoryError
        return plain(self, path, deliver)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "run", call)
    done = quick("segment", "films", "-m", model, *WANTED)
    assert done.returncode == code
    assert "films/a.mp4: out of memory" in done.stderr
    assert [one["code"] for one in failures(tmp_path / "out")] == codes
    monkeypatch.setattr(Segmenter, "run", plain)  # there may be more memory another time
    assert "has failed before (E_NOT" in quick("segment", "films", "-m", model, *WANTED,
                                               "--skip-existing").stderr  # fmt: skip
    assert [one["code"] for one in failures(tmp_path / "out")] == ["E_NOT_VIDEO"]


def test_a_run_that_memory_is_lacking_for_again_and_again_ends(
    quick: Run, model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        write_film(corpus / name, seconds=0.5)
    lack = MemoryLimitError("out of memory with a single clip", hint="fewer --frames")
    monkeypatch.setattr("vidattn.inference.stream.stream", raising(lack))
    done = quick("segment", "films", "-m", model, *WANTED)
    assert done.returncode == 6
    assert "error: films/c.mp4: out of memory with a single clip" in done.stderr
    assert "films/d.mp4" not in done.stderr
    alone = quick("segment", corpus / "a.mp4", "-m", model, *WANTED)
    assert alone.returncode == 6


def test_inputs_that_memory_is_lacking_for_between_others_end_no_run(
    quick: Run, model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        write_film(corpus / name, seconds=0.5)
    (corpus / "deep" / "b.mp4").unlink()
    (corpus / "b1.mp4").write_bytes(b"no film")
    plain = infer.stream
    words = ("segment", "films", "-m", model, *WANTED)
    lack = MemoryLimitError("out of memory with a single clip", hint="fewer --frames")
    monkeypatch.setattr(
        "vidattn.inference.stream.stream",
        lambda path, *a, **b: (plain if "b1" in path else raising(lack))(path, *a, **b),
    )
    done = quick(*words)  # a, b, (b1), c, d
    assert done.returncode == 6, done.stderr
    codes = [one["code"] for one in failures(tmp_path / "out")]
    assert codes.count("E_MEMORY") == 4, done.stderr
    # Nor does it count what is done already.
    (corpus / "b1.mp4").unlink()
    shutil.rmtree(tmp_path / "out")
    write_film(corpus / "b1.mp4", seconds=0.5)
    assert quick("segment", "films/b1.mp4", "-m", model, *WANTED).returncode == 0
    done = quick(*words, "--skip-existing")
    assert done.returncode == 4, done.stderr
    assert "films/d.mp4: out of memory" in done.stderr


def raising(error: Exception) -> Callable[..., Iterator[object]]:
    """What stands in for `stream` and fails when its first event is asked for."""

    def stream(*_: object, **__: object) -> Iterator[object]:
        raise error
        yield

    return stream


def test_bad_luck_is_tried_again_two_times(
    quick: Run, model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = VideoError("films/a.mp4: the decoder died", code="E_DECODER_DIED")
    plain = infer.stream
    monkeypatch.setattr("vidattn.inference.stream.stream", raising(dead))
    words = ("segment", "films/a.mp4", "-m", model, *WANTED)
    for attempt in (1, 2, 3):
        done = quick(*words, "--skip-existing")
        assert (done.returncode, failures(tmp_path / "out")[0]["attempt"]) == (3, attempt)
    again = quick(*words, "--skip-existing")
    assert "has failed before (E_DECODER_DIED); --retry-failed tries again" in again.stderr
    assert failures(tmp_path / "out")[0]["attempt"] == 3
    monkeypatch.setattr("vidattn.inference.stream.stream", plain)
    assert quick(*words, "--retry-failed").returncode == 0


def test_clips_and_vectors_that_are_gone_are_made_again(
    quick: Run, model: Path, corpus: Path, tmp_path: Path
) -> None:
    words = ("segment", "films/a.mp4", "-m", model, "-f", "json", "-o", "out", "--skip-existing")
    assert quick(*words).returncode == 0
    cutting = quick(*words, "--excerpts", "cuts")
    assert "is done" in cutting.stderr
    (clip,) = (tmp_path / "cuts").rglob("*.mp4")
    there = clip.read_bytes()
    assert "excerpt" not in quick(*words, "--excerpts", "cuts").stderr
    for damage in (clip.unlink, lambda: clip.write_bytes(there[:-1])):
        damage()
        assert "wrote 1 excerpt" in quick(*words, "--excerpts", "cuts").stderr
        assert clip.read_bytes() == there
    assert "encoded anew" in quick(*words, "--excerpts", "cuts", "--excerpts-exact").stderr
    assert "excerpt" not in quick(*words, "--excerpts", "cuts", "--excerpts-exact").stderr
    assert quick(*words, "--embeddings").returncode == 0
    (vectors,) = (tmp_path / "out").rglob("*.npz")
    seen = vectors.read_bytes()
    vectors.write_bytes(seen[:-40])
    assert "is done" not in quick(*words, "--embeddings").stderr
    assert vectors.read_bytes() == seen
    assert "is done" in quick(*words, "--embeddings").stderr


def test_what_is_damaged_is_made_again_from_the_scores(
    quick: Run, model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (corpus / "c.mp4").unlink()
    words = ("segment", "films", "-m", model, "-o", "out", "--skip-existing", "--explain")
    formats = "json,csv,srt,html"
    assert quick(*words, "-f", formats).returncode == 0
    folder = tmp_path / "out" / "films"
    whole = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.vidattn.*")}
    assert len(whole) == 8
    never = raising(AssertionError("the model is not needed"))
    monkeypatch.setattr("vidattn.inference.stream.stream", never)

    def damage(name: str, data: bytes | None) -> None:
        """One of a film's files is damaged; the next run mends it, and says so, and no other."""
        place = folder / name
        before = {path: path.stat().st_ino for path in whole if path != place}
        place.unlink() if data is None else place.write_bytes(data)
        again = quick(*words, "-f", formats)
        assert again.returncode == 0
        mended = f"films/a.mp4: made again from its scores: out/films/{name}"
        assert mended in " ".join(again.stderr.split())
        assert "films/deep/b.mp4: is done" in again.stderr
        assert {path: path.read_bytes() for path in whole} == whole
        assert {path: path.stat().st_ino for path in before} == before

    csv, page, saved = (whole[folder / f"a.vidattn.{ext}"] for ext in ("csv", "html", "json"))
    damage("a.vidattn.csv", csv.replace(b"0.000", b"0.001", 1))
    damage("a.vidattn.srt", b"")
    damage("a.vidattn.html", page.replace(b"<title>", b"<title>my ", 1))
    document = json.loads(saved)
    document["segments"][0]["label"] = "fly"
    damage("a.vidattn.json", json.dumps(document).encode())
    assert "made again" not in quick(*words, "-f", formats).stderr
    other = quick(*words, "-f", "json,vtt,html")  # another format needs no model either
    assert "out/films/deep/b.vidattn.vtt" in " ".join(other.stderr.split())


def test_only_a_result_of_the_same_file_model_and_settings_counts(
    quick: Run, model: Path, corpus: Path, tmp_path: Path
) -> None:
    def redone(*more: object) -> bool:
        done = quick("segment", "films", "-m", model, *WANTED, "--skip-existing", *more)
        return "films/a.mp4: is done" not in done.stderr

    saved = tmp_path / "out" / "films" / "a.vidattn.json"
    assert redone()
    assert not redone()
    assert redone("--stride", 0.3)
    assert redone("--stride", 0.3, "--threshold", 0.5)
    assert redone("--end", 0.9)
    (tmp_path / "names").write_text("x\ny\nz\n")
    assert redone("--labels", tmp_path / "names")
    assert redone()
    document = json.loads(saved.read_text())
    document["coverage"] |= {"unreadable": [[0.5, 1.0]], "reasons": ["E_INTERRUPTED"]}
    saved.write_text(json.dumps(document))
    assert redone()
    saved.write_text(saved.read_text()[:200])
    assert redone()
    os.utime(corpus / "a.mp4", ns=(0, time.time_ns()))  # written since
    assert redone()
    os.utime(corpus / "a.mp4", ns=(0, time.time_ns() + 10**15))  # a clock that was wrong
    assert not redone()
    write_film(corpus / "a.mp4", seconds=1.2)
    os.utime(corpus / "a.mp4", ns=(0, 0))
    assert redone()


def test_passed_over_inputs_are_printed_like_the_others(
    quick: Run, model: Path, corpus: Path
) -> None:
    words = ("classify", "films", "-m", model, *WANTED, "--json")
    first, again = quick(*words), quick(*words, "--skip-existing")
    assert first.returncode == again.returncode == 4
    documents = [[json.loads(line) for line in done.stdout.splitlines()] for done in (first, again)]
    for row in documents[0]:
        row.pop("run", None)
    assert [row for row in documents[0] if "error" not in row] == documents[1]
    assert "is done" in again.stderr


def test_the_result_of_another_film_is_not_replaced(
    quick: Run, model: Path, tmp_path: Path
) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_film(tmp_path / folder / "a.mp4", seconds=0.5)
    words = ("segment", "-m", model, "-f", "json", "-o", "out")
    assert quick(*words, "x/a.mp4").returncode == 0
    saved = (tmp_path / "out" / "a.vidattn.json").read_bytes()
    other = quick(*words, "y/a.mp4")
    assert other.returncode == 3
    assert "would replace that of x/a.mp4" in other.stderr
    assert (tmp_path / "out" / "a.vidattn.json").read_bytes() == saved
    assert quick(*words, str(tmp_path / "x" / "a.mp4")).returncode == 0  # the same, named anew
    assert quick(*words, "x", "y").returncode == 0


def test_what_is_complete_can_only_be_told_by_json(quick: Run, film: Path, model: Path) -> None:
    done = quick("segment", film, "-m", model, "-f", "srt", "--skip-existing")
    assert done.returncode == 2
    assert "add json" in done.stderr


def test_an_input_that_another_run_is_at_is_left_to_it(
    quick: Run, model: Path, corpus: Path, tmp_path: Path
) -> None:
    """The other one fails to finish: its input is done in the end."""
    lock = tmp_path / "out" / "films" / "a.vidattn.lock"
    last = tmp_path / "out" / "films" / "deep" / "b.vidattn.json"
    begun = threading.Event()

    def hold() -> None:
        with locked(lock):
            begun.set()
            while not last.exists():
                time.sleep(0.01)

    other = threading.Thread(target=hold)
    other.start()
    begun.wait()
    alone = quick("segment", corpus / "a.mp4", "-m", model, "-f", "json", "-o", lock.parent)
    assert alone.returncode == 5
    assert "another run is writing it" in alone.stderr
    done = quick("segment", "films", "-m", model, "-f", "json", "-o", "out")
    other.join()
    assert done.returncode == 4
    assert done.stderr.index("deep/b.vidattn.json") < done.stderr.index("films/a.vidattn.json")
    assert not lock.exists()


def test_nothing_is_left_of_killed_runs(
    quick: Run, model: Path, corpus: Path, tmp_path: Path
) -> None:
    words = ("segment", "films/a.mp4", "-m", model, *WANTED, "--skip-existing")
    assert quick(*words).returncode == 0
    out = tmp_path / "out"
    whole = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        # Killed between writing and renaming: nobody tidies up.
        patch.setattr("vidattn.io.files._discard", lambda part: None)
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_atomically(out / "a.vidattn.json", b"half")
    for ending in ("lock", "log"):
        (out / f"a.vidattn.{ending}").touch()
    assert len(list(out.iterdir())) == len(whole) + 3
    again = quick(*words)
    assert again.returncode == 0
    assert "is done" in again.stderr
    assert {path: path.read_bytes() for path in out.iterdir()} == whole


def test_what_another_run_made_meanwhile_is_not_made_again(
    quick: Run, model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("segment", "films", "-m", model, *WANTED)
    assert quick(*words).returncode == 4
    from vidattn.inference.batch.segment import Segmenter

    plain = Segmenter.run
    done: list[str] = []

    def call(self: Segmenter, path: str, deliver: object) -> object:
        if not done:  # as if another process had done all others while this one was at the first
            for saved in (tmp_path / "out").rglob("b.vidattn.json"):
                saved.write_bytes(saved.read_bytes())
                os.utime(saved)
            old = FailureList(tmp_path / "out").read()["films/c.mp4"]
            FailureList(tmp_path / "out").add(FailureRecord(**{**vars(old), "attempt": 9}))
        done.append(path)
        return plain(self, path, deliver)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "run", call)
    again = quick(*words)  # without --skip-existing: everything that is old is done anew
    assert again.returncode == 4
    assert done == ["films/a.mp4"]
    assert failures(tmp_path / "out")[0]["attempt"] == 9


def test_the_list_of_failures_survives_torn_lines_and_ends_in_order(tmp_path: Path) -> None:
    ledger = FailureList(tmp_path)
    for name, attempt in (("b", 1), ("a", 1), ("b", 2), ("c", 1)):
        ledger.add(FailureRecord(name, "E_DECODE", f"{name}\udcff: broken", attempt))
    with ledger.path.open("ab") as file:
        file.write(b'{"path": "torn", "co')
    ledger.add(FailureRecord("d", "E_GONE", "gone"))
    assert {k: v.attempt for k, v in ledger.read().items()} == {"a": 1, "b": 2, "c": 1, "d": 1}
    ledger.sort({"c"})
    assert [row["path"] for row in failures(tmp_path)] == ["a", "b", "d"]
    ledger.sort({"a", "b", "d"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        '{"path": ["a"], "code": "E", "message": "m"}',
        '{"path": 3, "code": "E", "message": "m"}',
        '{"path": "a", "code": "E", "message": "m", "attempt": "x"}',
        '{"path": "a"}',
        "[1]",
        "[" * 100_000,
    ],
)
def test_lines_of_anything_else_are_no_failures(tmp_path: Path, line: str) -> None:
    ledger = FailureList(tmp_path)
    ledger.path.write_text(line + "\n")
    ledger.add(FailureRecord("b", "E_GONE", "gone"))
    assert list(ledger.read()) == ["b"]
    ledger.sort(set())
    assert [row["path"] for row in failures(tmp_path)] == ["b"]


def test_an_empty_folder_is_still_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos below"):
        find_videos([str(tmp_path)])


def test_links_to_folders_are_followed_and_each_folder_is_searched_once(tmp_path: Path) -> None:
    films, elsewhere = tmp_path / "films", tmp_path / "elsewhere"
    for folder in (films / "z", elsewhere / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.mp4").touch()
    (films / "a").symlink_to(films / "z")  # the folder itself comes first, whatever its name
    (films / "b").symlink_to(elsewhere)
    (films / "c").symlink_to(elsewhere / "deep")
    (films / "z" / "up").symlink_to(films)
    (elsewhere / "round").symlink_to(tmp_path)
    (films / "nowhere").symlink_to(tmp_path / "gone")
    found = [Path(one.path).relative_to(films) for one in find_videos([str(films)])]
    assert found == [Path("z/a.mp4"), Path("b/deep/a.mp4")]
