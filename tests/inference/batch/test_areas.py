"""Several areas of one picture: a timeline for each, from one decode."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

import vidattn
from tests.helpers import Run, encode_video
from vidattn import weights
from vidattn.cli.terminal import progress
from vidattn.config import ClipConfig, DataConfig
from vidattn.data.clip_dataset import TrainingClips
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError, UsageError
from vidattn.inference.batch.events import Done, Failed, Skipped
from vidattn.inference.batch.failures import FailureList
from vidattn.inference.batch.job import ClassifyOptions
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.output.video.heatmap import write_heatmap_video
from vidattn.timeline import Timeline
from vidattn.types import Window
from vidattn.video.process.client import SupervisedVideo

COLORS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}
ROIS = {"left": "0%,0%,50%,100%", "right": "50%,0%,50%,100%"}


class Brightest(nn.Module):
    """The logit of a class is the mean of its channel: red, green or blue."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips.mean((2, 3, 4))


@pytest.fixture
def colors() -> Classifier:
    clip = ClipConfig(4, 0.25, 32, 32, mean=(0.0, 0.0, 0.0), std=(0.1, 0.1, 0.1))
    return Classifier(Brightest(), clip, tuple(COLORS), card=ModelCard("colors"))


@pytest.fixture
def arenas(tmp_path: Path) -> Path:
    """Four seconds: left red, then green from second 2; right always blue."""
    frames = np.empty((40, 64, 128, 3), np.uint8)
    frames[:20, :, :64], frames[20:, :, :64] = COLORS["red"], COLORS["green"]
    frames[:, :, 64:] = COLORS["blue"]
    return encode_video(tmp_path / "arenas.mp4", frames, 10)


def labels(timeline: Timeline) -> list[tuple[Window, str]]:
    return [(segment.window, segment.label) for segment in timeline.segments]


def test_each_area_has_its_own_timeline_from_one_decode(
    arenas: Path, colors: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    stream = SupervisedVideo.stream
    monkeypatch.setattr(
        SupervisedVideo, "stream", lambda self, i: asked.append(self.path) or stream(self, i)
    )
    out = tmp_path / "out"
    start = "2024-05-01T06:30:00"
    events = list(
        vidattn.segment_many(arenas, colors, out, rois=ROIS, start_time=start, overlap=0.0)
    )
    assert asked == [str(arenas)]
    left, right = (
        Timeline.from_json((out / f"arenas.{n}.vidattn.json").read_bytes()) for n in ROIS
    )
    assert labels(left) == [(Window(0, 2), "red"), (Window(2, 4), "green")]
    assert labels(right) == [(Window(0, 4), "blue")]
    assert (left.settings.roi, left.settings.area) == ("left", "0%,0%,50%,100%")
    assert left.settings.start_time == start
    assert [e.timeline.settings.roi for e in events if isinstance(e, Done)] == ["left", "right"]


def test_finished_areas_are_skipped_and_missing_ones_done(
    arenas: Path, colors: Classifier, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    list(vidattn.segment_many(arenas, colors, out, rois=ROIS, overlap=0.0))
    before = (out / "arenas.right.vidattn.json").read_bytes()
    (out / "arenas.right.vidattn.json").unlink()
    again = vidattn.segment_many(arenas, colors, out, rois=ROIS, overlap=0.0, skip_existing=True)
    outcomes = {e.timeline.settings.roi: type(e) for e in again if isinstance(e, Done | Skipped)}
    assert outcomes == {"left": Skipped, "right": Done}
    strip = [line for line in before.split(b"\n") if b"_s" not in line]
    after = (out / "arenas.right.vidattn.json").read_bytes().split(b"\n")
    assert [line for line in after if b"_s" not in line] == strip


def test_areas_fail_on_their_own_and_are_not_tried_again(
    arenas: Path, colors: Classifier, tmp_path: Path
) -> None:
    rois = {"in": "0,0,64,64", "out": "900,0,64,64", "left": "0%,0%,50%,100%"}
    for known in (False, True):
        run = vidattn.segment_many(arenas, colors, tmp_path / "out", rois=rois, skip_existing=True)
        (failed,) = (event for event in run if isinstance(event, Failed))
        assert (failed.code, failed.known) == ("E_AREA", known)
        assert list(FailureList(tmp_path / "out").read()) == [f"{arenas}: out"]


def test_a_model_of_several_areas_looks_at_each(
    arenas: Path, colors: Classifier, tmp_path: Path
) -> None:
    both = colors.look_at(";".join(f"{name}={area}" for name, area in ROIS.items()))
    for own, rois in ((colors, ROIS), (both, {})):
        folder = tmp_path / f"{len(rois)}"
        list(vidattn.segment_many(arenas, own, folder, formats="json,table", rois=rois))
    names = ["arenas.left.vidattn.json", "arenas.right.vidattn.json", "table.csv"]
    for name in names:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    events = vidattn.classify_many(arenas, both, tmp_path)
    assert [e.timeline.settings.roi for e in events if isinstance(e, Done)] == list(ROIS)
    with pytest.raises(UsageError, match="looks at the areas left, right one by one") as refused:
        vidattn.segment(arenas, both)
    assert "classifier.look_at('X,Y,W,H')" in str(refused.value.hint)
    assert vidattn.segment(arenas, both.look_at(ROIS["left"])).settings.area == ROIS["left"]


def test_samples_are_seen_in_their_area(arenas: Path, colors: Classifier, tmp_path: Path) -> None:
    truth = tmp_path / "labels.csv"
    truth.write_text(
        "path,label,start,end,split,roi\narenas.mp4,red,0,2,val,left\n"
        "arenas.mp4,green,2,4,val,left\narenas.mp4,blue,0,4,val,right\n"
    )
    both = colors.look_at(";".join(f"{name}={area}" for name, area in ROIS.items()))
    assert vidattn.evaluate(both, truth, frames=4)["top1"] == 1.0
    assert vidattn.evaluate(colors, truth, frames=4)["top1"] < 1.0
    clips = TrainingClips(open_dataset(str(truth), None, "val"), both.clip, DataConfig(flip=False))
    seen = [int(clips[0, number].clip.mean((1, 2, 3)).argmax()) for number in range(3)]
    assert [both.labels[number] for number in seen] == ["red", "green", "blue"]
    truth.write_text(truth.read_text().replace("right", "middle"))
    with pytest.raises(DataError, match="of the area 'middle'; there are left, right"):
        vidattn.evaluate(both, truth)


def test_a_run_that_is_closed_keeps_what_each_area_has(
    arenas: Path, colors: Classifier, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = {"rois": ROIS, "overlap": 0.0, "batch_size": 1}
    run = vidattn.segment_many(arenas, colors, out, **words)
    assert len(list(islice(run, 4))) == 4
    run.close()
    saved = [json.loads(path.read_bytes()) for path in sorted(out.glob("*.json"))]
    assert [one["settings"]["roi"] for one in saved] == ["left", "right"]
    assert all("E_INTERRUPTED" in one["coverage"]["reasons"] for one in saved)
    list(vidattn.segment_many(arenas, colors, out, **words, skip_existing=True))
    done = [Timeline.from_json(path.read_bytes()) for path in sorted(out.glob("*.json"))]
    assert [labels(one)[-1] for one in done] == [(Window(2, 4), "green"), (Window(0, 4), "blue")]


def test_areas_are_classified_alike(arenas: Path, colors: Classifier, tmp_path: Path) -> None:
    options = ClassifyOptions(rois=ROIS, frames=4)
    events = vidattn.classify_many(arenas, colors, tmp_path, options=options)
    best = {e.timeline.settings.roi: e.timeline.top(1)[0][0] for e in events if isinstance(e, Done)}
    assert best["right"] == "blue"
    assert best["left"] in ("red", "green")


def test_names_of_areas_exclude_an_area_of_the_model(
    arenas: Path, colors: Classifier, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="looks at 1,2,3,4"):
        list(vidattn.segment_many(arenas, colors.look_at("1,2,3,4"), tmp_path, rois=ROIS))


def test_an_area_and_a_mask_count_as_settings(arenas: Path, colors: Classifier) -> None:
    def seen(area: str, mask: str = "") -> Timeline:
        return vidattn.segment(arenas, colors.look_at(area, mask), overlap=0.0)

    assert labels(seen("64,0,64,64")) == [(Window(0, 4), "blue")]
    assert labels(seen("", "50%,0%,50%,100%"))[0] == (Window(0, 2), "red")
    assert seen("64,0,64,64", "0,0,9,9").settings.to_dict().items() >= {
        ("area", "64,0,64,64"),
        ("mask", "0,0,9,9"),
    }
    assert np.array_equal(seen("64,0,64,64").scores, seen("50%,0%,50%,100%").scores)


def test_the_command_line_names_areas(
    video: Path, model: Path, quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rois = ("--roi", "up=0%,0%,100%,50%", "--roi", "down=0%,50%,100%,50%")
    words = ("segment", video, "-m", model, "--overlap", 0, "-o", "out")
    shown = quick(*words, *rois, "-f", "json,html")
    assert shown.stdout.count(str(video)) == 2
    assert "up" in shown.stdout
    assert "down" in shown.stdout
    names = [f"walk.{name}.vidattn.{kind}" for name in ("down", "up") for kind in ("html", "json")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", *names]
    assert "walk.up.vidattn.html" in (tmp_path / "out" / "index.html").read_text()
    monkeypatch.setattr(progress, "POSITION_INTERVAL", 0)
    again = quick(*words, *rois, "-f", "json,html", "--skip-existing")
    assert again.stderr.count("done before") == 2
    assert "note: \n" not in again.stderr  # one video has no place among several


def test_other_boxes_in_the_same_file_are_other_results(
    arenas: Path, colors: Classifier, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    following = colors.look_at(str(boxes))

    def run() -> tuple[str, list[tuple[Window, str]]]:
        *_, last = vidattn.segment_many(
            arenas, following, tmp_path / "out", skip_existing=True, overlap=0.0
        )
        (path,) = (tmp_path / "out").glob("*.json")
        return type(last).__name__, labels(Timeline.from_json(path.read_bytes()))

    boxes.write_text("frame,x,y,w,h\n0,10,10,20,20\n")
    assert run() == ("Done", [(Window(0, 2), "red"), (Window(2, 4), "green")])
    assert run()[0] == "Skipped"
    boxes.write_text("frame,x,y,w,h\n0,90,10,20,20\n")
    assert run() == ("Done", [(Window(0, 4), "blue")])


def test_a_video_without_boxes_is_seen_whole_with_a_warning(
    video: Path, model: Path, quick: Run, tmp_path: Path
) -> None:
    (tmp_path / "boxes.csv").write_text("video,frame,x,y,w,h\nother.mp4,0,10,10,20,20\n")
    text = "has no boxes in boxes.csv; the whole picture is used"
    words = (video, "-m", model, "--crop", "boxes.csv", "-q", "-f", "json", "-o", "out", "--json")
    for command in (("segment",), ("classify",), ("classify", "--pool", "mean")):
        done = quick(*command, *words)
        assert done.stderr == f"warning: {video}: {text}\n"
        document = json.loads(done.stdout)
        assert text in document["warnings"]
        assert "area" not in document["settings"]
    assert text in quick("explain", *words[:6], "--at", "1").stderr
    truth = tmp_path / "truth.csv"
    truth.write_text(f"path,label,start,end\n{video.name},walk,0,4\n")
    assert f"warning: {video}: {text}" in quick("compare", truth, *words[:6]).stderr
    suggested = quick("suggest", video, "-m", look_at_boxes(model, tmp_path), "-q", "-f", "csv")
    assert suggested.stderr == f"warning: {video}: {text}\n"


def look_at_boxes(model: Path, folder: Path) -> Path:
    return weights.save(vidattn.load(model).look_at("boxes.csv"), folder / "boxes.safetensors")


def test_a_model_looks_where_it_was_trained_to(
    video: Path, model: Path, quick: Run, tmp_path: Path
) -> None:
    path = weights.save(
        vidattn.load(model).look_at("0,0,48,64", "0,0,9,9"), tmp_path / "own.safetensors"
    )
    for command in (("segment", "--overlap", 0), ("classify", "--frames", 4)):
        done = quick(*command, video, "-m", path, "--json")
        assert "looks at 0,0,48,64, as it was trained" in done.stderr
        settings = json.loads(done.stdout)["settings"]
        assert (settings["area"], settings["mask"]) == ("0,0,48,64", "0,0,9,9")
    done = quick("segment", video, "-m", path, "--json", "--overlap", 0, "--crop", "9,9,9,9")
    assert json.loads(done.stdout)["settings"]["area"] == "9,9,9,9"


def test_an_explanation_is_of_the_area(video: Path, model: Path, tmp_path: Path) -> None:
    classifier = vidattn.load(model).look_at("16,0,48,48")
    explanation = vidattn.explain(video, classifier, at=1.0)
    with (
        vidattn.open_video(video) as whole,
        vidattn.open_video(video, framing=classifier.clip.framing) as part,
    ):
        index = explanation.frames[0]
        assert np.array_equal(part.read([index])[0], whole.read([index])[0][:48, 16:64])
    with vidattn.open_video(write_heatmap_video(explanation, tmp_path / "heat.mp4")) as drawn:
        assert drawn.width == drawn.height
