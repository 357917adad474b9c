"""Names that mean no good: too long, full of signs, or of things that are not files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import Run
from vidattn.evaluation.predictions import Predictions, save_predictions

LONG = "n" * 300
COMMANDS = [
    ("segment", f"{LONG}.mp4", "-m", "motion-tiny"),
    ("segment", "{video}", "-m", f"./{LONG}.pth"),
    ("segment", "{video}", "-m", LONG),
    ("segment", f"@{LONG}", "-m", "motion-tiny"),
    ("segment", "{video}", "-m", "motion-tiny", "--cuts", LONG),
    ("classify", f"{LONG}/a.mp4", "-m", "motion-tiny"),
    ("timeline", f"{LONG}.json"),
    ("compare", f"{LONG}.eaf", f"{LONG}.json", "--differences"),
    ("compare", f"{LONG}.csv", LONG),
    ("eval", "--from-dump", f"{LONG}.npz"),
    ("train", "--dataset", f"./{LONG}"),
    ("train", "--dataset", "~nobody-of-that-name/clips"),
    ("train", "--dataset", "motion", "--recipe", f"{LONG}.json"),
    ("train", "--dataset", "motion", "--init", f"{LONG}.pth", "--run-dir", "run"),
    ("recipe", "show", LONG),
    ("models", "verify", f"{LONG}.safetensors"),
    ("models", "info", LONG),
    ("data", "check", LONG),
    ("doctor", LONG),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words).replace(LONG, "LONG"))
def test_an_overlong_name_counts_as_absent(words: tuple[str, ...], quick: Run, video: Path) -> None:
    done = quick(*[word.replace("{video}", str(video)) for word in words], code=None)
    assert done.returncode in (2, 3, 4, 5), done.stderr
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in ("error: ", "Usage: ", "warning: "))


@pytest.mark.parametrize("option", [("-o", "{long}"), ("-o", "file/below")])
def test_an_invalid_output_folder_is_named(
    option: tuple[str, str], quick: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    done = quick("segment", video, "-m", model, option[0], option[1].format(long=LONG), code=5)
    assert done.stderr.startswith("error: ")


def test_videos_of_any_name_have_results(
    quick: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    names = [
        "-rf.mp4", "a\nb.mp4", "%d%s.mp4", "[b]x[_b].mp4", "\x1b[31mred.mp4", "bad \udcff.mp4",
        "=cmd().mp4", "<script>alert(1)<.mp4", "a..mp4.mp4", "n" * 251 + ".mp4",
    ]  # fmt: skip
    for name in names:
        (folder / name).symlink_to(video)
    done = quick("segment", folder, "-m", model, "--json", "-o", "out", "-f", "json,srt,html")
    assert "\x1b" not in done.stdout + done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(documents) == len(names)
    written = [path for path in (tmp_path / "out").rglob("*.vidattn.*") if path.is_file()]
    assert len(written) == 3 * len(names)
    assert all(b"<script>alert" not in p.read_bytes() for p in written if p.suffix == ".html")
    assert all(json.loads(p.read_bytes())["segments"] for p in written if p.suffix == ".json")


def test_no_class_is_a_formula_in_the_confusion_matrix(quick: Run, tmp_path: Path) -> None:
    classes = ("=cmd|' /C calc'!A0", "+1", "walk", "\t=1", "a,\nb", "bad \udcff")
    count = len(classes)
    about = {"model": "m", "sha256": "", "dataset": "d", "videos": count, "failed": [],
             "settings": {"views": "1x1"}}  # fmt: skip
    paths = tuple(f"{i}.mp4" for i in range(count))
    scores = np.eye(count, dtype=np.float32)
    predictions = Predictions(classes, paths, np.arange(count), scores, 1.0, about)
    save_predictions(predictions, tmp_path / "d.npz")
    quick("eval", "--from-dump", "d.npz", "--confusion", "who.csv")
    text = (tmp_path / "who.csv").read_text(encoding="utf-8", errors="surrogateescape")
    rows = list(csv.reader(text.splitlines()))
    cells = ["'=cmd|' /C calc'!A0", "'+1", "walk", "' =1", "a, b", "bad \udcff"]
    assert rows[0][1:] == [row[0] for row in rows[1:]] == cells
