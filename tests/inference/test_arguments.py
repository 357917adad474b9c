"""Models by name, and settings as plain keywords, in the calls of Python."""

import copy
import math
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vidattn
from vidattn.config.run_options import BatchOptions, EvalViews
from vidattn.data.plan import Windowing
from vidattn.errors import UsageError
from vidattn.inference.arguments import BatchKeywords, EvalKeywords, Keywords, RuntimeKeywords
from vidattn.inference.batch.classify import ClassifyKeywords
from vidattn.inference.batch.job import ClassifyOptions
from vidattn.models.int8 import can_multiply_int8


def test_the_keywords_are_the_fields_of_the_settings() -> None:
    names = {
        f.name for kind in (Windowing, vidattn.Decoding, vidattn.Runtime) for f in fields(kind)
    }
    assert set(Keywords.__annotations__) == names
    assert set(BatchKeywords.__annotations__) == {f.name for f in fields(BatchOptions)}
    options = {f.name for f in fields(ClassifyOptions)} | set(RuntimeKeywords.__annotations__)
    batch = set(BatchKeywords.__annotations__)
    assert set(ClassifyKeywords.__annotations__) == options | batch
    views = {f.name for f in fields(EvalViews)}
    assert set(EvalKeywords.__annotations__) == views | set(RuntimeKeywords.__annotations__)
    assert set(RuntimeKeywords.__annotations__) == {f.name for f in fields(vidattn.Runtime)}


def test_segment_takes_a_name_and_settings_as_keywords(video: Path) -> None:
    timeline = vidattn.segment(
        str(video), "motion-tiny", overlap=0.5, smooth="median", threshold=0.3, device="cpu"
    )
    assert timeline.decoding == vidattn.Decoding("median", threshold=0.3)
    assert timeline.windows[1].start == timeline.windows[0].center
    assert timeline.model.name == "motion-tiny"
    assert timeline.segments[0].start == timeline.segments[0].window.start


def test_without_a_model_the_bundled_one_stands_in_with_a_warning(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.warns(UserWarning, match="CAMERA MOTION, NOT ACTIONS: .*by its name"):
        timeline = vidattn.segment(video)
    assert timeline.model.name == "motion-tiny"


def test_an_unknown_keyword_is_refused_before_the_model_loads(video: Path) -> None:
    with pytest.raises(UsageError, match="no option 'treshold'"):
        vidattn.segment(video, "motion-tiny", treshold=0.3)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="no option 'stride'"):
        vidattn.classify(video, "motion-tiny", stride=0.3)  # type: ignore[call-arg]


def test_times_are_seconds_or_text_as_on_the_command_line(video: Path, model: Path) -> None:
    classifier = vidattn.load(model)
    for start, end in ((1, 3), ("0:01", "00:00:03.0"), ("1", "3.0")):
        timeline = vidattn.segment(video, classifier, start=start, end=end, device="cpu")
        assert (timeline.part.start, timeline.part.stop) == (1.0, 3.0)
        whole = vidattn.classify(video, classifier, start=start, end=end, device="cpu")
        assert (whole.windows[0].start, whole.windows[0].stop) == (1.0, 3.0)
        assert (
            whole.settings
            == vidattn.classify(
                video, classifier, start=start, end=end, device="cpu", views="1x1"
            ).settings
        )
    windows = [
        vidattn.explain(video, model, at=at, runtime=vidattn.Runtime(device="cpu")).window
        for at in (2, "0:02")
    ]
    assert windows[0] == windows[1]
    with pytest.raises(UsageError, match=r"'soon' is not a time, such as 90.5, 1:30.5"):
        vidattn.segment(video, classifier, end="soon")
    for time in (-3.0, math.nan):
        with pytest.raises(UsageError, match=f"'{time}' is not a time, such as 90.5, 1:30.5"):
            vidattn.segment(video, classifier, start=time)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="has no notes")
def test_a_traceback_shows_the_hint(video: Path, model: Path, monkeypatch: Any) -> None:
    timeline = vidattn.classify(video, model, device="cpu")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(vidattn.VidattnError) as caught:
        timeline.to_frame()
    shown = "".join(traceback.format_exception(pickle.loads(pickle.dumps(caught.value))))
    assert shown.endswith("UsageError: to_frame needs pandas\nhint: pip install pandas\n")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"precision": "fp16"}, "precision: expected one of auto, fp32, bf16, int8, got 'fp16'"),
        ({"compile": "no"}, "compile: expected true or false, got 'no'"),
        ({"threshold": "0.3"}, "threshold: expected a number, got '0.3'"),
        ({"frames": 8.5}, "frames: expected a whole number, got 8.5"),
        ({"frames": -5}, "a clip has at least 1 frame, got -5"),
        ({"start": None}, "start: expected a number, got None"),
    ],
)
def test_a_setting_of_a_wrong_type_is_named(
    keywords: dict[str, Any], message: str, video: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        vidattn.segment(video, "motion-tiny", **keywords)


WRONG: dict[str, Callable[[Any, Any], object]] = {
    "model: expected a text, got 3": lambda video, _: vidattn.segment(video, 3),  # type: ignore[arg-type]
    "model: expected a text, got None": lambda *_: vidattn.load(None),  # type: ignore[arg-type]
    "frame_step: expected a number": lambda *_: vidattn.load("x", frame_step="x"),  # type: ignore[arg-type]
    "path: expected a text": lambda _, model: vidattn.save(model, 3),  # type: ignore[arg-type]
    "workers: a number of processes": lambda _, model: vidattn.evaluate(model, "x", workers=-1),
    "dataset: expected a text": lambda _, model: vidattn.evaluate(model, None),  # type: ignore[arg-type]
    "data_root: expected a text": lambda *_: vidattn.teach("x", model="motion-tiny", data_root=3),  # type: ignore[arg-type]
    "labels: expected a text": lambda *_: vidattn.teach(3, model="motion-tiny"),  # type: ignore[arg-type]
    "dataset: expected a text, got 3": lambda *_: vidattn.train(3, "run"),  # type: ignore[arg-type]
    "run_dir: expected a text": lambda *_: vidattn.train("x", 3),  # type: ignore[arg-type]
    "optim.lr: expected a number": lambda *_: vidattn.train(
        "motion", "run", settings={"optim.lr": Path("x")}
    ),
    "expected settings such as": lambda video, model: vidattn.segment(video, model, runtime="cpu"),  # type: ignore[arg-type]
    "pool: expected a text": lambda video, model: vidattn.classify(video, model, pool=3),  # type: ignore[arg-type]
    "paths: expected a text": lambda _, model: list(vidattn.classify_many(3, model, "out")),  # type: ignore[arg-type]
    "out: expected a text": lambda video, model: list(vidattn.segment_many(video, model, 3)),  # type: ignore[arg-type]
    "rois.left: expected a text": lambda video, model: list(
        vidattn.segment_many(video, model, "out", rois={"left": 3})  # type: ignore[dict-item]
    ),
    "--settle has no effect": lambda video, model: list(
        vidattn.classify_many(video, model, "out", settle=3)
    ),
    "short_side: expected a whole": lambda video, _: vidattn.open_video(video, short_side="x"),  # type: ignore[arg-type]
    "spatial: expected a whole number": lambda *_: vidattn.ViewConfig("x"),  # type: ignore[arg-type]
}
"""By message, calls with values that cannot be."""


@pytest.mark.parametrize("message", WRONG)
def test_each_call_refuses_wrong_values_with_our_error(
    message: str, video: Path, model: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        WRONG[message](video, vidattn.load(model))


def test_wrong_sampling_and_views_are_refused_by_every_call(video: Path, tmp_path: Path) -> None:
    calls: list[Callable[..., Any]] = [
        lambda **k: vidattn.classify(video, "motion-tiny", **k),
        lambda **k: list(vidattn.classify_many(video, "motion-tiny", tmp_path, **k)),
        lambda **k: vidattn.evaluate("motion-tiny", tmp_path, **k),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"sampling: expected one of auto, .*, got 'x'"):
            call(sampling="x")
        with pytest.raises(UsageError, match="expected SxT"):
            call(views=(3, 1))
        with pytest.raises(UsageError, match="no option 'stride'"):
            call(stride=1.0)


def test_many_videos_are_classified_with_plain_keywords(video: Path, tmp_path: Path) -> None:
    settings = {"sampling": "dense", "views": "1x2", "pool": "max"}
    events = vidattn.classify_many(video, "motion-tiny", tmp_path, **settings)  # type: ignore[arg-type]
    (many,) = (event.timeline for event in events if isinstance(event, vidattn.Done))
    one = vidattn.classify(video, "motion-tiny", **settings)  # type: ignore[arg-type]
    assert (many.scores == one.scores).all()
    assert one.settings.pool == "max"


def test_numbers_of_numpy_are_those_of_python(video: Path) -> None:
    plain = vidattn.segment(video, "motion-tiny", stride=1, kernel=3, threshold=0.5)
    numpy = vidattn.segment(
        video,
        "motion-tiny",
        stride=np.int64(1),  # type: ignore[arg-type]
        kernel=np.int64(3),  # type: ignore[arg-type]
        threshold=np.float32(0.5),  # type: ignore[arg-type]
        snap=np.False_,  # type: ignore[arg-type]
        device=torch.device("cpu"),  # type: ignore[arg-type]
    )
    assert numpy.to_json() == plain.to_json()


@pytest.mark.parametrize("source", [None, b"movie.mp4", ["movie.mp4"]])
def test_what_is_no_video_is_named(source: Any) -> None:
    with pytest.raises(UsageError, match="neither the path of a video nor an open video"):
        vidattn.segment(source, "motion-tiny")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_classifier_that_was_used_can_be_copied_and_sent(video: Path, precision: str) -> None:
    if precision == "int8" and not can_multiply_int8():
        pytest.skip("torch has no oneDNN in 8 bits")
    classifier = vidattn.load("motion-tiny")
    scores = vidattn.segment(video, classifier, precision=precision).scores  # type: ignore[arg-type]
    for other in (copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        again = vidattn.segment(video, other, precision=precision)
        tolerance = 1e-6 if precision == "fp32" else 0.02  # memory is aligned otherwise
        np.testing.assert_allclose(again.scores, scores, atol=tolerance)
