"""How right timelines are, on days short enough to count by hand."""

from dataclasses import replace

import numpy as np
import pytest

from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.evaluation.segmentation import METRICS, evaluate_segmentation, fit_threshold
from vidattn.timeline import Decoding, Timeline
from vidattn.types import VideoInfo, Window

LABELS = ("swim", "dive", "rest")


def timeline(source: str, text: str, sure: float = 0.9, **more: object) -> Timeline:
    """A second for each letter: s, d, r; "." is below the threshold, "x" could not be read."""
    windows, scores, missing = [], [], []
    for second, letter in enumerate(text):
        window = Window(second, second + 1)
        if letter == "x":
            missing.append((window, "E_DECODE"))
            continue
        windows.append(window)
        rest = (1 - sure) / 2
        row = [sure if name[0] == letter else rest for name in LABELS]
        scores.append([1 / 3] * 3 if letter == "." else row)
    return Timeline(
        source,
        LABELS,
        tuple(windows),
        np.array(scores),
        duration=len(text),
        unreadable=tuple(missing),
        decoding=Decoding(smooth="none", threshold=0.5),
        **more,  # type: ignore[arg-type]
    )


def spans(
    name: str, *rows: tuple[float, float, str], duration: float | None = None
) -> AnnotatedVideo:
    result = tuple((Window(a, b), label) for a, b, label in rows)
    return AnnotatedVideo(name, spans=result, duration=duration)


def frames(name: str, text: str) -> AnnotatedVideo:
    names = {"s": "swim", "d": "Dive", "r": "rest", ".": "SIL"}
    return AnnotatedVideo(name, frames=tuple(names[letter] for letter in text))


def all_metrics(
    *pairs: tuple[AnnotatedVideo, Timeline | None], **more: object
) -> dict[str, float | None]:
    return dict(evaluate_segmentation(pairs, **more).metrics)  # type: ignore[arg-type]


def test_a_day_counted_by_hand() -> None:
    """Ten seconds. True: 0-4 swim, 6-10 dive. Predicted: 0-5 swim, 6-8 rest, 8-10 dive.

    Right: 4 s of swim, second 5, 2 s of dive: 7 of 10; of the 8 s with events, 6. Two events in
    order swim, dive against swim, rest, dive: one of three too many. Overlaps: swim 4/5, dive 2/4,
    rest is wrong: F1 = 2 * 2 / (2 * 2 + 1). As detections swim is found up to an IoU of .8 and dive
    up to .5.
    """
    annotated = spans("a.mp4", (0, 4, "swim"), (6, 10, "dive"))
    result = all_metrics((annotated, timeline("a.mp4", "sssss.rrdd")))
    assert result["frame_accuracy"] == pytest.approx(0.7)
    assert result["frame_accuracy_foreground"] == pytest.approx(0.75)
    assert result["edit"] == pytest.approx(1 - 1 / 3)
    assert result["f1@10"] == result["f1@25"] == result["f1@50"] == pytest.approx(0.8)
    at = {t: result[f"map@{t:g}"] for t in (0.3, 0.5, 0.55, 0.8, 0.85)}
    assert at == {0.3: 1.0, 0.5: 1.0, 0.55: 0.5, 0.8: 0.5, 0.85: 0.0}
    # .5 counts 1; .55, .6 ... .8 count 1/2 each; .85, .9, .95 nothing
    assert result["map"] == pytest.approx((1 + 6 * 0.5) / 10)
    assert result["map_thumos"] == pytest.approx((1 + 1 + 1 + 0.5 + 0.5) / 5)


def test_spans_are_compared_to_the_millisecond() -> None:
    annotated = spans("a.mp4", (0, 1.01, "swim"), (1.01, 3, "dive"))
    result = evaluate_segmentation([(annotated, timeline("a.mp4", "sdd"))])
    assert (result.metrics["frame_accuracy"], result.frames) == (pytest.approx(2.99 / 3), 75)


def test_time_before_the_first_picture_is_not_judged() -> None:
    late = timeline("a.mp4", "ssd", input=VideoInfo(start_offset=1.5))
    annotated = spans("a.mp4", (1.5, 3.5, "swim"), (3.5, 4.5, "dive"), duration=4.5)
    result = evaluate_segmentation([(annotated, late)])
    assert (result.metrics["frame_accuracy"], result.frames) == (1, 75)


def test_spans_that_overlap_by_rounding_do_not_contradict_each_other() -> None:
    annotated = spans("a.mp4", (0, 1.0004, "swim"), (0.9995, 2, "dive"), (2.0003, 3, "dive"))
    result = all_metrics((annotated, timeline("a.mp4", "sdd")))
    assert result["frame_accuracy"] == result["f1@50"] == result["edit"] == 1


def test_a_label_for_each_frame_says_the_same() -> None:
    annotated = frames("a", "s" * 8 + "." * 4 + "d" * 8)  # two frames a second
    predicted = timeline("a.mp4", "sssss.rrdd")
    by_spans = all_metrics((spans("a.mp4", (0, 4, "swim"), (6, 10, "dive")), predicted))
    for rate in (None, 2.0):
        result = all_metrics((annotated, predicted), background=("SIL",), rate=rate)
        assert result == pytest.approx(by_spans)
    assert all_metrics((annotated, predicted))["frame_accuracy"] == pytest.approx(
        0.6
    )  # SIL as an event


def test_frames_count_by_number_where_they_are_as_many() -> None:
    """A file of six frames, five of them in the first second."""
    times = np.array([0, 0.2, 0.4, 0.6, 0.8, 1.5])
    predicted = timeline("a.mp4", "sd", input=VideoInfo(frames=6), frame_times=times)
    annotated = frames("a", "sssssd")
    assert all_metrics((annotated, predicted))["frame_accuracy"] == 1.0
    spread = replace(predicted, input=VideoInfo(frames=7), frame_times=None)
    assert all_metrics((annotated, spread))["frame_accuracy"] == pytest.approx(4 / 6)


def test_perfect_timelines_score_1_whatever_their_order() -> None:
    texts = {"a": "ssddr.", "b": "rrr", "c": "..s.s", "d": "dsdsd"}
    pairs = []
    for name, text in texts.items():
        words = {"s": "swim", "d": "dive", "r": "rest"}
        rows = [(i, i + 1, words[c]) for i, c in enumerate(text) if c != "."]
        merged: list[tuple[float, float, str]] = []
        for start, stop, label in rows:
            if merged and merged[-1][1:] == (start, label):
                merged[-1] = (merged[-1][0], stop, label)
            else:
                merged.append((start, stop, label))
        annotated = spans(name, *merged, duration=len(text))
        pairs.append((annotated, timeline(name, text)))
    assert all_metrics(*pairs) == dict.fromkeys(METRICS, 1.0)
    worse = [(annotated, predicted) for annotated, predicted in pairs[:-1]] + [
        (pairs[-1][0], timeline("d", "ddsss"))
    ]
    assert all_metrics(*worse) == all_metrics(*worse[::-1])
    assert all((value or 0) < 1 for value in all_metrics(*worse).values())


def test_a_video_without_a_prediction_is_missed_not_left_out() -> None:
    one = (spans("a", (0, 4, "swim"), duration=4), timeline("a", "ssss"))
    other = (spans("b", (0, 4, "dive"), duration=4), None)
    result = all_metrics(one, other)
    assert result["frame_accuracy"] == result["edit"] == result["map"] == 0.5
    assert result["f1@50"] == pytest.approx(2 / 3)


def test_what_could_not_be_read_is_wrong_even_where_nothing_happened() -> None:
    annotated = spans("a", (0, 2, "swim"), duration=4)
    assert all_metrics((annotated, timeline("a", "ss..")))["frame_accuracy"] == 1.0
    assert all_metrics((annotated, timeline("a", "ss.x")))["frame_accuracy"] == 0.75


def test_without_segments_metrics_are_none() -> None:
    quiet = (spans("a", duration=3), timeline("a", "..."))
    result = all_metrics(quiet)
    assert (result["frame_accuracy"], result["edit"]) == (1.0, 1.0)
    nothing = ("frame_accuracy_foreground", "f1@10", "map", "map_thumos")
    assert [result[name] for name in nothing] == [None] * 4
    noisy = all_metrics((spans("a", duration=3), timeline("a", "sss")))
    assert (noisy["frame_accuracy"], noisy["edit"], noisy["f1@10"], noisy["map"]) == (0, 0, 0, None)
    assert all_metrics((spans("a"), None))["frame_accuracy"] is None


def test_labels_that_overlap_leave_detection_only() -> None:
    both = spans("a", (0, 4, "swim"), (2, 4, "dive"), duration=4)
    plain = (spans("b", (0, 2, "swim"), duration=2), timeline("b", "ss"))
    result = evaluate_segmentation([(both, timeline("a", "ssss")), plain])
    assert (result.videos, result.framewise, result.frames) == (2, 1, 50)
    assert (result.metrics["frame_accuracy"], result.metrics["map"]) == (1.0, 0.5)
    assert [dict(row) for row in result.per_class] == [
        {"label": "swim", "spans": 2, "found": 2, "ap@0.5": 1.0},
        {"label": "dive", "spans": 1, "found": 0, "ap@0.5": 0.0},
    ]
    twice = spans("a", (0, 3, "swim"), (1, 4, "Swim"), duration=4)  # the same label: no conflict
    assert all_metrics((twice, timeline("a", "ssss")))["frame_accuracy"] == 1.0


def test_the_best_threshold_lies_between_what_happens_and_what_does_not() -> None:
    windows = tuple(Window(i, i + 1) for i in range(4))
    scores = np.array([[0.9, 0.1], [0.62, 0.38], [0.3, 0.7], [0.55, 0.45]])
    timeline = Timeline(source="a.mp4", labels=("walk", "run"), windows=windows, scores=scores)
    annotated = AnnotatedVideo(
        "a.mp4", spans=((Window(0, 1), "walk"), (Window(2, 3), "run")), duration=4.0
    )
    threshold, f1 = fit_threshold([(annotated, timeline)])
    assert 0.62 < threshold <= 0.7
    assert f1 == 1.0
