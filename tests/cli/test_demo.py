"""The demo: a first result, right about a video that it draws itself."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import Run
from vidattn.data.motion.village import SHOTS


def test_the_demo_finds_what_is_true_and_names_the_report(quick: Run, tmp_path: Path) -> None:
    done = quick("demo", "-o", "out")
    *scenes, total = done.stdout.splitlines()[1:]
    assert len(scenes) == len(SHOTS)
    assert all(line.count(shot.label) == 2 for line, shot in zip(scenes, SHOTS, strict=True))
    assert float(total.split()[2]) > 95
    assert "out/vidattn-demo.vidattn.html" in done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {
        "vidattn-demo.mp4",
        *(f"vidattn-demo.vidattn.{e}" for e in ("html", "json", "srt")),
    } == names
    drawn = (tmp_path / "out" / "vidattn-demo.mp4").read_bytes()
    assert b" threads=4 " in drawn  # on every machine, as x264 tells of itself
    assert b" sliced_threads=0 " in drawn
