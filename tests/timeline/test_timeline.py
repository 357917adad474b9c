import json
import math
import re
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import two_windows
from vidattn.data.sampling import windows as sliding
from vidattn.errors import InputError, UsageError
from vidattn.io.json import dumps
from vidattn.output import WRITERS, render
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.pooling import Pool
from vidattn.timeline.segments import covered_spans, subtract_spans
from vidattn.types import ModelInfo, Settings, VideoInfo, Window


def random_timeline(seed: int, classes: int = 5, **changes: Any) -> Timeline:
    """Overlapping windows, unreadable spans and any settings, at 25 frames per second."""
    rng = np.random.default_rng(seed)
    duration = float(rng.uniform(0.02, 120))
    windows = sliding(duration, float(rng.uniform(1, 9)), float(rng.uniform(0.5, 5)))
    starts = rng.uniform(0, duration * 0.99, int(rng.integers(0, 4)))
    unreadable = [
        (Window(s, min(s + rng.uniform(0.0001, 5), duration)), "E_DECODE")
        for s in map(float, starts)
    ]
    values: dict[str, Any] = {
        "source": f"{seed}.mp4",
        "labels": tuple(f"label {k}" for k in range(classes)),
        "windows": windows,
        "scores": rng.dirichlet(np.full(classes, 0.2), len(windows)),
        "duration": duration,
        "unreadable": tuple(sorted(unreadable)),
        "decoding": Decoding("median", 3, float(rng.choice([0, 0.5])), float(rng.choice([0, 3]))),
        "frame_times": np.arange(max(int(duration * 25), 1)) / 25,
    }
    return Timeline(**{**values, **changes})


def unreadable_spans(timeline: Timeline) -> list[Window]:
    return [Window(*pair) for pair in timeline.to_dict()["coverage"]["unreadable"]]


def test_the_segments_of_two_windows() -> None:
    first, second = two_windows().segments
    assert (first.window, first.label, first.label_id, first.score) == (
        Window(0, 2),
        "dive",
        0,
        0.9,
    )
    assert (second.window, second.label, second.score) == (Window(2, 4), "swim", 0.8)


@pytest.mark.parametrize("seed", range(20))
def test_segments_tile_the_file_without_what_is_unreadable(seed: int) -> None:
    timeline = random_timeline(seed, decoding=Decoding(smooth="none", threshold=0.3 * (seed % 3)))
    assert timeline.duration is not None
    gapless = covered_spans(Window(round(w.start, 3), round(w.stop, 3)) for w in timeline.windows)
    expected = [
        part for parts in subtract_spans(gapless, unreadable_spans(timeline)) for part in parts
    ]
    assert covered_spans(s.window for s in timeline.segments) == covered_spans(expected)
    assert all(a.window.stop <= b.window.start for a, b in pairwise(timeline.segments))


@pytest.mark.parametrize("seed", range(15))
def test_frames_tile_the_file_as_seconds_do(seed: int) -> None:
    timeline = random_timeline(seed, unreadable=())
    pairs = [(s.start_frame, s.end_frame) for s in timeline.segments]
    cells = timeline.cell_frames
    assert cells is not None
    assert all(a <= b for a, b in cells)
    for a, b in pairwise(timeline.segments):
        if a.window.stop == b.window.start:
            assert a.end_frame == b.start_frame
    if timeline.coverage == 1:
        assert timeline.duration is not None
        assert (pairs[0][0], pairs[-1][1]) == (0, max(int(timeline.duration * 25), 1))


def test_a_segment_begins_with_the_first_frame_at_or_after_its_start() -> None:
    times = np.arange(90) / 30
    windows = (Window(0, 1 / 3), Window(1 / 3, 2 / 3), Window(2 / 3, 3.0))
    timeline = two_windows(windows=windows, scores=np.eye(2)[[0, 1, 0]], frame_times=times)
    assert [(s.start_frame, s.end_frame) for s in timeline.segments] == [
        (0, 10),
        (10, 20),
        (20, 90),
    ]


def test_frames_are_unknown_without_frame_times() -> None:
    assert [(s.start_frame, s.end_frame) for s in two_windows().segments] == [(None, None)] * 2


@pytest.mark.parametrize("classes, seed", [(1, 0), (2, 1), (5, 2), (64, 3), (65, 4), (400, 5)])
def test_a_saved_timeline_comes_back_as_it_was(classes: int, seed: int) -> None:
    timeline = random_timeline(seed, classes)
    text = timeline.to_json()
    loaded = Timeline.from_json(text)
    assert (loaded.segments, loaded.to_json()) == (timeline.segments, text)
    changed = {"threshold": 0.4, "smooth": "mean", "min_duration": 1.0}
    assert loaded.with_decoding(**changed).segments == timeline.with_decoding(**changed).segments


def test_a_document_of_other_origin_keeps_unknown_keys_and_values() -> None:
    document = two_windows().to_dict()
    document["input"] |= {"camera": "GX80", "fps": "25/1", "vfr": None, "width": 640, "height": "x"}
    document["model"] |= {"name": None, "team": [1, 2]}
    document["settings"] |= {"frames": True, "window_seconds": 2, "mine": {"a": 1}}
    loaded = Timeline.from_json(json.dumps(document))
    assert loaded.to_dict() == document
    assert (loaded.input.fps, loaded.input.width, loaded.input.height) == (None, 640, None)
    assert (loaded.model.name, loaded.settings.frames) == (None, None)
    assert loaded.settings.window_seconds == 2
    changed = replace(loaded, settings=replace(loaded.settings, pool="max"))
    assert list(changed.to_dict()["settings"])[-10:-8] == ["mine", "pool"]


@pytest.mark.parametrize("rows", [np.full((2, 401), 1 / 401), np.eye(401)[[7, 400]]])
def test_a_saved_timeline_comes_back_when_many_classes_tie(rows: np.ndarray) -> None:
    timeline = two_windows(labels=tuple(map(str, range(401))), scores=rows)
    loaded = Timeline.from_json(timeline.to_json())
    assert (loaded.to_json(), loaded.segments) == (timeline.to_json(), timeline.segments)
    assert Timeline.from_json(loaded.to_json()).to_json() == timeline.to_json()


def test_of_many_classes_the_strongest_sixteen_are_saved() -> None:
    scores = np.random.default_rng(0).dirichlet(np.full(400, 0.3), 2)
    saved = two_windows(labels=tuple(map(str, range(400))), scores=scores).to_dict()["scores"]
    assert [len(row) for row in saved["ids"]] == [16, 16]
    assert saved["ids"][0] == np.argsort(-scores[0])[:16].tolist()
    loaded = Timeline.from_json(
        two_windows(labels=tuple(map(str, range(400))), scores=scores).to_json()
    )
    assert loaded.scores.sum(1) == pytest.approx(1, abs=5e-3)
    assert (loaded.scores.argmax(1) == scores.argmax(1)).all()


def test_the_same_timeline_gives_the_same_bytes_whatever_the_run() -> None:
    one, two = (two_windows(run={"total_s": seconds}) for seconds in (1.0, 2.0))
    assert one.to_json() == two.to_json()
    assert "run" not in one.to_dict()
    assert one.to_dict(run=True)["run"] == {"total_s": 1.0}
    assert Timeline.from_json(one.to_json(run=True)).run == {"total_s": 1.0}


PUBLISHED = {
    "schema": "vidattn/timeline/1",
    "task": "segment",
    "input": {"path": "a.mp4", "duration": 5.0, "fps": [24000, 1001], "vfr": False,
              "codec": "h264"},
    "model": {"name": "motion-tiny", "sha256": "ab", "classes": 2},
    "settings": {"stride_seconds": 2.0, "smooth": "none", "kernel": 3, "threshold": 0.85,
                 "min_duration": 0.0, "switch_cost": None, "leave": None, "merge_gap": 0.0,
                 "snap": False},
    "coverage": {"windows": 2, "fraction": 0.7, "part": [0.0, 4.0], "unreadable": [[3.5, 4.0]],
                 "reasons": ["E_DECODE"]},
    "segments": [
        {"start": 0.0, "end": 2.0, "start_frame": 0, "end_frame": 20, "label": "dive",
         "label_id": 0, "score": 0.9, "alternatives": [{"label": "swim", "score": 0.1}]},
        {"start": 2.0, "end": 3.5, "start_frame": 20, "end_frame": 35, "label": "background",
         "label_id": None, "score": 0.8,
         "alternatives": [{"label": "swim", "score": 0.8}, {"label": "dive", "score": 0.2}]},
    ],
    "labels": [
        {"label": "dive", "seconds": 2.0, "share": 0.5, "count": 1},
        {"label": "background", "seconds": 1.5, "share": 0.375, "count": 1},
    ],
    "warnings": ["w"],
    "scores": {"labels": ["dive", "swim"], "windows": [[0.0, 2.0], [2.0, 4.0]],
               "frames": [[0, 20], [20, 35]], "values": [[0.9, 0.1], [0.2, 0.8]]},
}  # fmt: skip


def test_the_document_is_as_published_and_in_that_order() -> None:
    timeline = two_windows(
        duration=5.0,
        input=VideoInfo(fps=Fraction(24000, 1001), vfr=False, codec="h264"),
        model=ModelInfo(name="motion-tiny", sha256="ab"),
        settings=Settings(stride_seconds=2.0),
        decoding=Decoding(smooth="none", threshold=0.85),
        warnings=("w",),
        unreadable=((Window(3.5, 4.0), "E_DECODE"),),
        frame_times=np.arange(50) / 10,
        run={"total_s": 1.0},
    )
    assert timeline.to_dict() == PUBLISHED
    assert list(timeline.to_dict(run=True)) == [*PUBLISHED, "run"]


def test_both_layouts_say_the_same() -> None:
    timeline = random_timeline(4)
    lines, line = timeline.to_json(), timeline.to_json(indent=None)
    assert json.loads(lines) == json.loads(line) == timeline.to_dict()
    assert "\n" not in line
    assert max(map(len, lines.splitlines())) < 400


def test_a_classification_is_always_one_segment() -> None:
    timeline = two_windows(
        task="classify",
        windows=(Window(0, 60),),
        scores=[[0.3, 0.7]],
        decoding=Decoding(smooth="none", threshold=0.9),
        unreadable=((Window(10, 20), "E_DECODE"),),
        seen=(Window(5, 15), Window(40, 50)),
    )
    (segment,) = timeline.segments
    assert (segment.window, segment.label, segment.score) == (Window(0, 60), "swim", 0.7)
    assert timeline.coverage == pytest.approx(15 / 60)
    document = timeline.to_dict()
    assert "threshold" not in document["settings"]
    assert document["coverage"]["seen"] == [[5.0, 15.0], [40.0, 50.0]]
    assert Timeline.from_json(timeline.to_json()).to_json() == timeline.to_json()


def test_labels_that_each_fill_a_window_have_full_scores_in_the_maximum() -> None:
    whole = replace(two_windows(), scores=np.eye(2)).pool_windows(Pool("max"))
    assert [score for _, score in whole.top()] == [1.0, 1.0]
    assert Timeline.from_json(whole.to_json()).to_json() == whole.to_json()
    with pytest.raises(ValueError, match="every row sums to 1"):
        replace(whole, settings=replace(whole.settings, pool="mean"))


def test_pooled_windows_are_one_prediction() -> None:
    whole = two_windows().pool_windows(Pool("max"))
    assert (whole.task, len(whole.segments)) == ("classify", 1)
    assert whole.windows == (Window(0, 4),)
    assert whole.scores[0] == pytest.approx([0.9, 0.8], abs=1e-5)
    assert whole.settings.pool == "max"
    again = Timeline.from_json(whole.to_json())
    assert again.to_json() == whole.to_json()
    assert again.coverage == pytest.approx(two_windows().coverage)


def test_windows_of_time_that_was_not_recorded_say_nothing() -> None:
    parts = tuple({"path": f"{i}.mp4", "start": 3.0 * i, "end": 3.0 * i + 2} for i in range(2))
    paused = two_windows(input=VideoInfo(parts=parts), pauses=(Window(2, 4),))
    first = paused.scores[0].tolist()
    assert paused.pool_windows(Pool("mean")).scores[0].tolist() == pytest.approx(first, abs=1e-5)
    assert [score for _, score in paused.top()] == pytest.approx(sorted(first, reverse=True))


def test_boundaries_snap_to_known_cuts_and_the_cuts_are_saved() -> None:
    timeline = two_windows(
        input=VideoInfo(fps=Fraction(10), vfr=False),
        cuts=(1.32, 3.2),
        frame_times=np.arange(40) / 10,
    )
    assert [s.window.stop for s in timeline.segments] == [2, 4]
    snapped = Timeline.from_json(timeline.to_json()).with_decoding(snap=True)
    assert [s.window.stop for s in snapped.segments] == [1.32, 4]
    assert [(s.start_frame, s.end_frame) for s in snapped.segments] == [(0, 14), (14, 40)]
    assert snapped.to_dict()["cuts"] == [1.32, 3.2]
    varying = replace(snapped, input=VideoInfo(fps=Fraction(10), vfr=True))
    assert [s.start_frame for s in varying.segments] == [0, None]


def test_top_is_the_mean_over_all_windows() -> None:
    ((label, score),) = two_windows().top(1)
    assert (label, round(score, 6)) == ("dive", 0.55)
    assert [label for label, _ in two_windows().top()] == ["dive", "swim"]


def test_a_timeline_without_windows_has_no_segments() -> None:
    empty = two_windows(windows=(), scores=np.zeros((0, 2)), duration=9.0)
    assert empty.segments == ()
    assert empty.coverage == 0
    assert empty.top() == []
    assert Timeline.from_json(empty.to_json()).to_json() == empty.to_json()


def test_a_file_that_is_wholly_unreadable_has_no_segments() -> None:
    dark = two_windows(unreadable=((Window(0, 4), "E_DECODE"),), frame_times=np.arange(40) / 10)
    assert dark.segments == ()
    assert dark.coverage == 0
    assert Timeline.from_json(dark.to_json()).to_json() == dark.to_json()


@pytest.mark.parametrize("duration", [1e-4, 0.001, 1 / 30, 1 / 1000.4, 86400 * 3 + 0.0004])
def test_any_duration_makes_a_document(duration: float) -> None:
    timeline = two_windows(windows=(Window(0, duration),), scores=[[0.5, 0.5]])
    assert (len(timeline.segments), timeline.coverage) == (1, 1)
    assert Timeline.from_json(timeline.to_json()).to_json() == timeline.to_json()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": ()}, "needs labels"),
        ({"scores": [[0.9, 0.1]]}, r"must be \[2 windows, 2 labels\], got \(1, 2\)"),
        ({"scores": [[0.9, 0.1], [np.nan, 1]]}, "must be finite"),
        ({"scores": [[0.9, 0.1], [0.2, 0.7]]}, "sums to 1"),
        ({"scores": [[1.1, -0.1], [0.2, 0.8]]}, "at least 0"),
        ({"scores": [[3.2, -1.0], [0.2, 0.8]]}, "must be probabilities"),
        ({"windows": (Window(2, 4), Window(0, 2))}, "must be sorted"),
        ({"windows": (Window(-1, 2), Window(2, 4))}, r"must start in \[0, 4\)"),
        ({"duration": 2.0}, r"must start in \[0, 2\)"),
        ({"duration": 0.0}, "duration > 0"),
        ({"duration": float("inf")}, "duration > 0"),
        ({"windows": (), "scores": np.zeros((0, 2))}, "duration > 0"),
        ({"task": "classify"}, "a classification has one window, got 2"),
        ({"task": "guess"}, "expected segment or classify"),
        ({"cell_frames": ((0, 1),)}, "1 cell frames for 2 cells"),
    ],
)
def test_values_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        two_windows(**changes)


def test_scores_cannot_be_changed_behind_the_segments() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    timeline = two_windows(scores=scores)
    scores[0] = (0.1, 0.9)
    assert timeline.segments[0].label == "dive"
    with pytest.raises(ValueError, match="read-only"):
        timeline.scores[0, 0] = 0


def test_numbers_that_json_cannot_say_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        two_windows(settings=Settings(step_seconds=math.nan)).to_json()


def test_hostile_names_stay_inside_their_strings() -> None:
    name = "\udcff\x1b]0;x\x07\n\x7f\x9b2J\u2028\u2029\u0085🎬</script>.mp4"
    timeline = two_windows(source=name, labels=(name, "swim"))
    for text in (timeline.to_json(), timeline.to_json(indent=None), dumps(name)):
        text.encode("utf-8")
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)
    assert len(timeline.to_json(indent=None).splitlines()) == 1
    loaded = Timeline.from_json(timeline.to_json())
    assert (loaded.source, loaded.labels[0]) == (name, name)


def mutilated() -> list[tuple[str, str]]:
    document = two_windows(labels=tuple(map(str, range(70))), scores=np.eye(70)[:2]).to_dict()

    def broken(change: Any) -> str:
        copy = json.loads(json.dumps(document))
        change(copy)
        return json.dumps(copy)

    return [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", '"schema" is not'),
        ("7", '"schema" is not'),
        ('{"schema": "vidattn/timeline/2"}', '"schema" is not'),
        ('{"schema": "vidattn/timeline/1"}', "'input' is missing"),
        ('{"schema": NaN}', "NaN is not a number"),
        ("[" * 200_000, "recursion"),
        (broken(lambda d: d["scores"].pop("labels")), "'labels' is missing"),
        (broken(lambda d: d["scores"]["ids"][0].__setitem__(0, 70)), "out of bounds"),
        (broken(lambda d: d["scores"]["ids"][0].__setitem__(0, -1)), "ids >= 0"),
        (broken(lambda d: d["scores"]["ids"].pop()), "shorter"),
        (broken(lambda d: d["scores"]["values"][0].__setitem__(0, 0.5)), "sums to 1"),
        (broken(lambda d: d["scores"]["windows"][0].__setitem__(1, -3)), "start < stop"),
        (broken(lambda d: d["scores"].update(windows=7)), "iterable"),
        (broken(lambda d: d["settings"].update(kernel=2)), "odd and at least 1"),
        (broken(lambda d: d["settings"].update(threshold="x")), "expected a number"),
        (broken(lambda d: d["coverage"].update(unreadable=[[0, 1]])), "longer|shorter"),
        (broken(lambda d: d["input"].update(duration="x")), "could not convert"),
    ]


@pytest.mark.parametrize("text, reason", mutilated(), ids=range(len(mutilated())))
def test_a_document_that_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InputError, match="not a vidattn/timeline/1 document") as caught:
        Timeline.from_json(text)
    assert re.search(reason, caught.value.message)
    assert caught.value.exit_code == 3


def test_a_path_becomes_text() -> None:
    assert two_windows(source=Path("a") / "b.mp4").source == str(Path("a") / "b.mp4")


def test_a_day_with_gaps_is_decoded_in_seconds() -> None:
    windows = sliding(86_400, 1, 4)  # and one more, to end with the file
    scores = np.random.default_rng(0).dirichlet(np.ones(4), len(windows))
    timeline = two_windows(windows=windows, labels=tuple("abcd"), scores=scores, unreadable=())
    assert len(timeline.segments) == 21_601
    assert timeline.coverage == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("fps", [10**400, 1]), ("width", 10**400), ("height", 0), ("rotation", 37), ("frames", -5),
     ("bytes", 10**400), ("codec", "x" * 1000), ("width", True), ("fps", [0, 1])],
)  # fmt: skip
def test_impossible_facts_of_a_saved_timeline_count_as_unknown(name: str, value: object) -> None:
    document = two_windows().to_dict()
    document["input"][name] = value
    timeline = Timeline.from_json(json.dumps(document))
    assert getattr(timeline.input, name) is None
    assert timeline.to_dict()["input"][name] == value
    assert all(render(timeline, fmt) for fmt in WRITERS)


def test_a_timeline_is_shown_in_two_lines() -> None:
    first, second = repr(two_windows()).splitlines()
    assert "4.0 s, 2 windows" in first
    assert second == "  2 segments: 0.0-2.0 s dive, 2.0-4.0 s swim>"


def test_a_notebook_shows_a_ribbon_as_wide_as_the_segments_and_marks_up_no_label() -> None:
    html = replace(two_windows(), labels=("<b>", *two_windows().labels[1:]))._repr_html_()
    assert re.findall(r"width:([\d.]+)%", html) == ["50.000", "50.000"]
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.split("</b>", 1)[1]


def test_a_saved_timeline_loads_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.vidattn.json"
    path.write_text(two_windows().to_json(), encoding="utf-8")
    assert Timeline.load(str(path)).to_json() == two_windows().to_json()
    with pytest.raises(InputError, match=r"none\.json"):
        Timeline.load(tmp_path / "none.json")


def test_a_table_has_a_row_for_each_segment() -> None:
    pandas = pytest.importorskip("pandas")
    frame = two_windows().to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame[["start", "stop", "label"]].values.tolist() == [[0, 2, "dive"], [2, 4, "swim"]]


def test_without_pandas_a_table_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas"):
        two_windows().to_frame()
