"""`vidattn eval` on files: what it shows, keeps, recounts and expects."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import Run, run_without_torch, write_video

LABELS = ("walk", "run", "[b]jump")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two videos of each of two classes of the tiny model, one of which does not decode."""
    for name in LABELS[:2]:
        (tmp_path / "clips" / "val" / name).mkdir(parents=True)
        for i, seconds in enumerate((0.6, 1.0)):
            write_video(tmp_path / "clips" / "val" / name / f"{i}.mp4", seconds)
    (tmp_path / "clips" / "val" / "run" / "broken.mp4").write_bytes(b"")
    return tmp_path / "clips"


def test_a_dump_gives_every_metric_without_a_model(
    quick: Run, clips: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("eval", "-m", model, "--dataset", clips, "--views", "3x2", "--device", "cpu")
    first = quick(
        *command, "--json", "--dump", "out/scores.npz", "--confusion", "out/who.csv", code=4
    )
    assert "broken.mp4: not counted (E_EMPTY)" in first.stderr
    assert "5 videos, up to 3 spatial crops of 2 clips each" in first.stderr
    metrics = json.loads(first.stdout)
    assert (metrics["videos"], metrics["scored"], len(metrics["failed"])) == (5, 4, 1)
    assert metrics["settings"]["views"] == "3x2"
    table = list(csv.reader(Path("out/who.csv").read_text().splitlines()))
    assert table[0] == ["truth \\ prediction", *LABELS]
    assert [[int(n) for n in row[1:]] for row in table[1:]] == metrics["confusion"]

    again = quick(*command, "--json", "--dump", "out/scores.jsonl", "--workers", "1", code=4)
    assert again.stdout == first.stdout
    monkeypatch.setattr("vidattn.weights.loading.load", None)
    for name in ("scores.npz", "scores.jsonl"):
        assert quick("eval", "--from-dump", f"out/{name}", "--json", code=4).stdout == first.stdout
    shown = quick("eval", "--from-dump", "out/scores.npz", code=4).stdout
    assert shown.startswith(
        f"tiny on {clips}: 4 videos of 5\n  saw 3 spatial crops of 2 clips of 4"
    )


def test_short_videos_are_said_to_have_the_clips_that_fit(
    quick: Run, clips: Path, model: Path
) -> None:
    command = ("-m", model, "--views", "3x5", "--sampling", "dense", "--device", "cpu")
    done = quick("eval", "--dataset", clips, *command, "--dump", "scores.npz", code=4)
    assert "5 videos, up to 3 spatial crops of 5 clips each" in done.stderr
    assert "saw 6 views instead of 3 spatial crops of 5 clips, each of 4 frames" in done.stdout
    again = quick("eval", "--from-dump", "scores.npz", "--json", code=4)
    assert json.loads(again.stdout)["settings"]["views_seen"] == [6, 6]
    done = quick("classify", clips / "val" / "walk" / "0.mp4", *command)
    assert "2 clips instead of 5: more would repeat frames" in done.stderr
    assert "of 5 clips" not in done.stderr


def test_a_warning_is_printed_once(quick: Run, clips: Path, model: Path) -> None:
    boxes = Path("boxes.csv")
    boxes.write_text("video,frame,x,y,w,h\nwalk/0.mp4,0,1,1,20,20\n")
    command = ("eval", "-m", model, "--dataset", clips, "--crop", boxes, "--device", "cpu")
    done = quick(*command, "--dump", "scores.npz", code=4)
    warning = "boxes.csv: no boxes of 4 of 5 videos"
    assert (done.stderr.count(warning), done.stdout.count(warning)) == (1, 0)
    assert quick("eval", "--from-dump", "scores.npz", code=4).stdout.count(warning) == 1


def test_a_dump_needs_no_torch(quick: Run, clips: Path, model: Path, tmp_path: Path) -> None:
    command = ("eval", "-m", model, "--dataset", clips, "--device", "cpu", "-q")
    quick(*command, "--dump", "scores.npz", code=4)
    words = ("eval", "--from-dump", "scores.npz", "--fit-temperature", "--confusion", "who.csv")
    done = run_without_torch(tmp_path, *words)
    assert done.returncode == 4, done.stderr
    assert "fitted temperature" in done.stdout


def test_a_fitted_temperature_is_stored_and_used(quick: Run, clips: Path, model: Path) -> None:
    command = ("eval", "--dataset", clips, "--device", "cpu", "--json", "-q")
    first = quick(*command, "-m", model, "--fit-temperature", "-o", "warm.safetensors", code=4)
    calibration = json.loads(first.stdout)["calibration"]
    assert calibration["nll"][1] <= calibration["nll"][0]
    cold = json.loads(first.stdout)
    warm = json.loads(quick(*command, "-m", "warm.safetensors", code=4).stdout)
    assert warm["temperature"] == pytest.approx(calibration["temperature"], rel=1e-12)
    assert (warm["nll"], warm["top1"]) == (calibration["nll"][1], cold["top1"])
    video = clips / "val" / "walk" / "0.mp4"
    top = [
        json.loads(quick("classify", video, "-m", m, "--json").stdout)["segments"][0]["score"]
        for m in (model, "warm.safetensors")
    ]
    assert top[0] != top[1]


def test_a_temperature_belongs_to_the_model_it_fits(quick: Run, clips: Path, model: Path) -> None:
    command = ("eval", "-m", model, "--dataset", clips, "--device", "cpu", "-q")
    quick(*command, "--dump", "scores.npz", code=4)
    recount = ("eval", "--from-dump", "scores.npz", "--fit-temperature", "-o", "warm.safetensors")
    quick(*recount, "-m", "motion-tiny", code=2)
    assert "name the model" in quick(*recount, code=2).stderr
    assert not Path("warm.safetensors").exists()
    quick(*recount, "-m", model, code=4)
    assert Path("warm.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--expect", "top5=100", "--expect", "top1=50+-50"), 4, "not counted"),
        (("--expect", "top5=100", "--expect", "top1=1,nll=0"), 7, "expected nll=0, measured"),
    ],
)
def test_expectations_decide_the_exit_code(
    quick: Run, clips: Path, model: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    done = quick("eval", "-m", model, "--dataset", clips, "--device", "cpu", *words, code=code)
    assert message in done.stderr


def test_mistakes_are_shown_with_picture_second_and_score(
    quick: Run, clips: Path, model: Path
) -> None:
    command = ("eval", "-m", model, "--dataset", clips, "--device", "cpu", "--json", "-q")
    done = quick(*command, "--mistakes", "out", code=4)
    document, page = json.loads(done.stdout), Path("out/index.html").read_text()
    matrix = document["confusion"]
    wrong = [(i, j, n) for i, row in enumerate(matrix) for j, n in enumerate(row) if n and i != j]
    assert wrong
    assert f"{sum(n for *_, n in wrong)} of {document['scored']} videos are wrong" in page
    assert page.count("data:image/jpeg") == sum(n for *_, n in wrong)
    for i, j, _ in wrong:
        assert page.count(f'href="#m{i}-{j}"') == page.count(f'id="m{i}-{j}"') == 1
    [address, *_] = re.findall(r'href="([^"#]+\.mp4)#t=[\d.]+"', page)
    assert Path("out", address).is_file()


def test_spans_of_a_video_count_as_samples(quick: Run, video: Path, model: Path) -> None:
    rows = "".join(f"{video},walk,{second},{second + 1},val\n" for second in range(3))
    Path("spans.csv").write_text("path,label,start,end,split\n" + rows)
    command = ("eval", "-m", model, "--dataset", "spans.csv", "--device", "cpu")
    done = quick(*command, "--mistakes", "out")
    assert done.stdout.startswith("tiny on spans.csv: 3 samples\n")
    assert "of 3 samples are wrong" in Path("out/index.html").read_text()


def test_motion_has_the_same_metrics(quick: Run) -> None:
    words = ("eval", "-m", "motion-tiny", "--samples", "20", "--json", "-q", "--device", "cpu")
    done = quick(*words, "--dump", "m.jsonl")
    assert quick("eval", "--from-dump", "m.jsonl", "--json").stdout == done.stdout
    assert json.loads(done.stdout)["scored"] == 20
    quick(*words, "--frames", "9", code=2)


@pytest.mark.slow
def test_processes_count_videos_once(quick: Run, clips: Path, model: Path, tmp_path: Path) -> None:
    words = ("eval", "-m", str(model), "--dataset", str(clips), "--device", "cpu", "--json", "-q")
    alone = quick(*words, code=4)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    crew = [
        subprocess.Popen(
            [sys.executable, "-m", "vidattn", *words],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    (lead, errors), (other, outputs) = (member.communicate(timeout=200) for member in crew)
    assert lead == alone.stdout, errors
    assert (other, [member.returncode for member in crew]) == ("", [4, 0]), outputs


@pytest.mark.parametrize(
    "words",
    [
        ("--precision", "int8"),
        ("--sampling", "uniform"),
        ("--reader", "opencv"),
        ("--mask", "0,0,9,9"),
        ("--frames", "9"),
        ("--workers", "2"),
    ],
)
def test_options_without_effect_on_motion_are_refused(quick: Run, words: tuple[str, ...]) -> None:
    done = quick("eval", "-m", "motion-tiny", "--samples", "2", *words, code=2)
    assert f"{words[0]} has no effect: samples of the dataset motion are made" in done.stderr


def test_samples_and_dumps_refuse_what_has_no_effect(quick: Run, clips: Path, model: Path) -> None:
    done = quick("eval", "-m", model, "--dataset", clips, "--samples", "2000", code=2)
    assert "--samples has no effect" in done.stderr
    done = quick("eval", "--from-dump", "scores.npz", "--sampling", "dense", code=2)
    assert "--sampling has no effect: --from-dump reads saved predictions" in done.stderr
