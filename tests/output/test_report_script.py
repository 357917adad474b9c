"""The script of the page decides as the Python code does: the same labels, the same edges."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn import output
from vidattn.output.report.scores import pack_scores
from vidattn.timeline import Decoding, Timeline
from vidattn.types import Window

NODE = shutil.which("node")
DERIVE = Path(output.__file__).parent / "report" / "segments.js"
RUN = """
(async () => {
  const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const results = [];
  for (const { video, wanted } of cases) {
    const numbers = await Segments.unpack(video);
    results.push(wanted.map((settings) => Segments.deriveSegments(numbers, settings).map(
      (s) => [s.start, s.stop, s.label < 0 ? null : video.labels[s.label], s.score])));
  }
  process.stdout.write(JSON.stringify(results));
})();
"""
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def in_script(cases: list[tuple[Timeline, list[Decoding]]], tmp_path: Path) -> Any:
    """For each timeline and decoding the segments as the script finds them."""
    script = tmp_path / "run.js"
    script.write_text(DERIVE.read_text(encoding="utf-8") + RUN, encoding="utf-8")
    words = [
        {
            "video": (packed := pack_scores(timeline)),
            "wanted": [
                {
                    "step": _step(packed["costs"], d.switch_cost),
                    "threshold": d.threshold,
                    "minDuration": d.min_duration,
                    "mergeGap": d.merge_gap,
                    "leave": d.leave,
                }
                for d in decodings
            ],
        }
        for timeline, decodings in cases
    ]
    done = subprocess.run(
        [str(NODE), str(script)],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _step(costs: list[float], cost: float | None) -> int:
    """The place of a cost of a switch on the dial; by default that of the saved one."""
    return len(costs) // 2 if cost is None else costs.index(cost)


def agree(cases: list[tuple[Timeline, list[Decoding]]], tmp_path: Path) -> int:
    """Compare the segments of script and Python code; return their number."""
    count = 0
    for (timeline, decodings), replies in zip(cases, in_script(cases, tmp_path), strict=True):
        for decoding, expected_rows in zip(decodings, replies, strict=True):
            again = timeline.with_decoding(**vars(decoding))
            expected = [
                (s.window.start, s.window.stop, s.label if s.label_id is not None else None)
                for s in again.segments
            ]
            assert [tuple(row[:3]) for row in expected_rows] == expected, decoding
            for row, segment in zip(expected_rows, again.segments, strict=True):
                if segment.label_id is not None:
                    assert row[3] == pytest.approx(segment.score, abs=2e-5)
            count += len(expected)
    return count


def random_timeline(seed: int) -> Timeline:
    """A video of random size, overlaps, gaps, damage, cuts and scores, many of them equal."""
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(1, 60)), int(rng.choice([1, 2, 3, 8, 70]))
    stride = float(rng.choice([0.5, 1.0, 0.333, 2.135]))
    starts = np.arange(count) * stride
    starts = starts[rng.random(count) < 0.9]
    length = stride * float(rng.choice([0.7, 1, 1, 1.5, 2, 3.3]))
    # Few levels make ties of labels, of lengths and of means.
    levels = rng.integers(0, int(rng.choice([3, 6, 1000])), (len(starts), classes)) + 1e-3
    blur = rng.random() < 0.5 and len(starts) > 2
    if blur:
        levels[1:-1] = (levels[:-2] + levels[1:-1] + levels[2:]) / 3
    gaps = [] if rng.random() < 0.7 else [(Window(stride * 2.25, stride * 3.5), "E_DECODE")]
    duration = float(count * stride + length)
    return Timeline(
        source="a.mp4",
        labels=tuple(f"label {k}" for k in range(classes)),
        windows=tuple(Window(s, s + length) for s in starts.tolist()),
        scores=levels / levels.sum(axis=1, keepdims=True),
        duration=duration,
        unreadable=tuple(gaps),
        cuts=tuple(sorted({round(t, 3) for t in rng.uniform(0.1, duration, 6).tolist()})),
    )


def settings(rng: np.random.Generator, base: Decoding) -> list[Decoding]:
    """The same way of deciding at several places of the sliders."""
    spans = []
    for _ in range(6):
        threshold = float(rng.choice([0, 0.25, 1 / 3, 0.5, 1, round(rng.random(), 2)]))
        spans.append(
            Decoding(
                smooth=base.smooth,
                kernel=base.kernel,
                snap=base.snap,
                leave=None if base.leave is None else min(base.leave, threshold),
                threshold=threshold,
                min_duration=float(rng.choice([0, 0.5, 1, 2, 5, 30, rng.random() * 6])),
                merge_gap=float(rng.choice([0, 0, 0.5, 2, 10])),
            )
        )
    return spans


@pytest.mark.parametrize(
    "base",
    [
        Decoding(),
        Decoding(snap=True),
        Decoding(smooth="median", kernel=3),
        Decoding(smooth="mean", kernel=5),
        Decoding(smooth="none"),
        Decoding(smooth="viterbi"),
        Decoding(leave=0.2, threshold=0.5),
        Decoding(smooth="mean", leave=0.2, threshold=0.5, snap=True),
    ],
    ids=lambda d: f"{d.smooth}, leave {d.leave}, snap {d.snap}",
)
def test_the_page_finds_the_segments_that_python_finds(base: Decoding, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    cases = []
    for seed in range(25):
        cases.append((random_timeline(seed).with_decoding(**vars(base)), settings(rng, base)))
    assert agree(cases, tmp_path) > 400


def test_every_step_of_the_dial_finds_the_segments_of_its_cost(tmp_path: Path) -> None:
    timelines = [random_timeline(seed).with_decoding(smooth="auto") for seed in range(40, 52)]
    dials = [pack_scores(timeline)["costs"] for timeline in timelines]
    assert all(costs == sorted(costs, reverse=True) for costs in dials)
    assert all(costs[0] >= 4 for costs in dials)  # fewer segments, also of scores that say little
    cases = [
        (timeline, [Decoding(switch_cost=cost, threshold=0.2) for cost in costs])
        for timeline, costs in zip(timelines, dials, strict=True)
    ]
    assert agree(cases, tmp_path) > 400


def test_no_windows_are_no_segments(tmp_path: Path) -> None:
    empty = Timeline("a.mp4", ("walk", "run"), (), np.zeros((0, 2)), duration=3.0)
    assert in_script([(empty, [Decoding()])], tmp_path) == [[[]]]


def test_a_classification_is_one_segment(tmp_path: Path) -> None:
    scores = np.random.default_rng(1).dirichlet(np.ones(90))[None]
    one = Timeline("a.mp4", tuple(map(str, range(90))), (Window(0, 9),), scores, task="classify")
    (((start, stop, label, score),),) = in_script([(one, [Decoding()])], tmp_path)[0]
    assert (start, stop, label) == (0, 9, one.segments[0].label)
    assert score == pytest.approx(one.segments[0].score, abs=1e-5)
