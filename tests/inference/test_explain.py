"""Explanations of videos: window, frames and patches, as text, JSON and an image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import vidattn
from tests.helpers import Run, write_video
from vidattn.cli.commands import explain as explain_command
from vidattn.config import ClipConfig, Conv2dConfig, StamConfig, TaughtConfig
from vidattn.data import transforms
from vidattn.data.motion.dataset import validation_samples
from vidattn.errors import UsageError, VideoError
from vidattn.inference.explain import (
    MOST_RUNS,
    MOST_SEGMENTS,
    ExplainTarget,
    explain,
    explain_longest,
    explain_windows,
    strongest_window,
    window_around,
)
from vidattn.models.attribution import relevance
from vidattn.models.classifier import Classifier, build_model
from vidattn.models.stam import Stam
from vidattn.models.taught import TaughtModel
from vidattn.output.video import heatmap
from vidattn.timeline.explanation import METHODS, Explanation
from vidattn.types import Window
from vidattn.video import open_video


@pytest.fixture(scope="module")
def classifier(model: Path) -> Classifier:
    """Three classes, half a second of 4 frames of 2 x 2 patches; nothing is left at zero."""
    loaded = vidattn.load(str(model))
    generator = torch.Generator().manual_seed(0)
    for parameter in loaded.model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return loaded


@pytest.fixture(scope="module")
def explanation(video: Path, classifier: Classifier) -> Explanation:
    return explain(video, classifier, at=1.0)


def test_the_window_lies_around_the_moment_and_within_the_video(
    video: Path, classifier: Classifier, explanation: Explanation
) -> None:
    assert (explanation.window, len(set(explanation.frames))) == (Window(0.75, 1.25), 4)
    assert all(0.75 <= time < 1.25 for time in explanation.times)
    with open_video(video) as opened:
        assert window_around(opened, 0.0, classifier.clip) == Window(0.0, 0.5)
        assert window_around(opened, 3.99, classifier.clip) == Window(3.5, 4.0)
        assert window_around(opened, 2.0, classifier.clip, frames=99) == Window(0.0, 4.0)
        with pytest.raises(VideoError, match=r"ends at 4.00 s, before 9 s") as caught:
            window_around(opened, 9.0, classifier.clip)
        assert caught.value.code == "E_SHORT"
        with pytest.raises(UsageError, match="second -1: a video starts at 0"):
            window_around(opened, -1.0, classifier.clip)


def test_the_scores_are_those_of_segment(
    video: Path, classifier: Classifier, explanation: Explanation
) -> None:
    timeline = vidattn.segment(video, classifier, start=0.75, end=1.25)
    np.testing.assert_allclose(explanation.scores, timeline.scores[0], atol=1e-5)
    assert explanation.label == classifier.labels[int(timeline.scores[0].argmax())]


def test_without_a_time_the_best_window_is_explained(video: Path, classifier: Classifier) -> None:
    timeline = vidattn.segment(video, classifier)
    assert explain(video, classifier).score == pytest.approx(float(timeline.scores.max()), abs=1e-5)
    other = explain(video, classifier, label="RUN")
    assert other.label == "run"
    assert other.score == pytest.approx(float(timeline.scores[:, 1].max()), abs=1e-5)
    assert strongest_window(timeline, 1).window == other.window


def test_a_short_video_has_the_frames_of_segment(tmp_path: Path, classifier: Classifier) -> None:
    short = write_video(tmp_path / "short.mp4", seconds=0.3)
    timeline = vidattn.segment(short, classifier)
    for explanation in (
        explain(short, classifier),
        explain(short, classifier, at=0.1),
        *explain_longest(timeline, classifier),
    ):
        assert explanation.window.duration == pytest.approx(0.3)
        assert explanation.frames == (0, 1, 2, 2)
        np.testing.assert_allclose(explanation.scores, timeline.scores[0], atol=1e-5)


def test_deleting_important_patches_lowers_the_score_faster_than_chance() -> None:
    tiny = vidattn.load("motion-tiny")
    clips = torch.cat([batch.clips for batch in validation_samples(tiny.clip, 24, seed=7)])
    with torch.no_grad():
        first = tiny.model(clips).softmax(1)
    classes = first.argmax(1)
    heat_of = relevance(tiny.model, clips, classes).patches.flatten(1)  # type: ignore[arg-type]
    color = clips.mean((2, 3, 4), keepdim=True)

    def left(order: torch.Tensor) -> float:
        gone = torch.zeros_like(order, dtype=torch.bool)
        gone.scatter_(1, order[:, : order.shape[1] * 3 // 10], True)
        pixels = gone.view(-1, 8, 4, 4).repeat_interleave(12, 2).repeat_interleave(12, 3)
        with torch.no_grad():
            scores = tiny.model(torch.where(pixels[:, None], color, clips)).softmax(1)
        return float(scores.gather(1, classes[:, None]).mean())

    generator = torch.Generator().manual_seed(0)
    draws = [torch.rand(heat_of.shape, generator=generator).argsort(1) for _ in range(3)]
    chance = sum(map(left, draws)) / 3
    assert left(heat_of.argsort(1, descending=True)) < chance - 0.05


@pytest.mark.parametrize("method", [method for method in METHODS if method != "gradcam"])
def test_shares_are_positive_and_sum_to_1(method: str, video: Path, classifier: Classifier) -> None:
    (one,) = explain_windows(video, classifier, [ExplainTarget(Window(1.0, 1.5))], method=method)  # type: ignore[arg-type]
    assert one.patches.shape == (4, 2, 2)
    assert (one.patches >= 0).all()
    assert one.patches.sum() == pytest.approx(1, abs=1e-5)
    assert one.pictures.shape == (4, 224, 224, 3)


def test_a_drop_is_the_loss_from_replacing_the_frame_by_the_previous(
    video: Path, classifier: Classifier, explanation: Explanation
) -> None:
    with open_video(video, short_side=32) as opened:
        seen = opened.read(explanation.frames)
    clip = transforms.eval_clip(seen, classifier.clip)
    scores = []
    for order in ([0, 1, 2, 3], [1, 1, 2, 3], [0, 0, 2, 3], [0, 1, 1, 3], [0, 1, 2, 2]):
        with torch.no_grad():
            scores.append(
                classifier.model(clip[None, :, order]).softmax(-1)[0, explanation.label_id]
            )
    expected = [float(scores[0] - one) for one in scores[1:]]
    np.testing.assert_allclose(explanation.drops, expected, atol=1e-5)
    assert np.abs(explanation.drops).max() > 1e-4
    odds = [float(torch.logit(one)) for one in scores]
    np.testing.assert_allclose(explanation.odds, [odds[0] - one for one in odds[1:]], atol=1e-3)


def test_a_long_clip_drops_frames_in_groups(video: Path, classifier: Classifier) -> None:
    long = explain(video, classifier, at=2.0, frames=MOST_RUNS + 8)
    assert (long.run, len(long.drops)) == (2, MOST_RUNS + 8)
    np.testing.assert_array_equal(long.drops[0::2], long.drops[1::2])
    assert heatmap.draw_strip(long).shape[0] > 4 * heatmap.TILE  # of 40 frames 32, in four rows


@torch.no_grad()
def test_occlusion_covers_each_patch(
    video: Path, classifier: Classifier, explanation: Explanation
) -> None:
    one = explain(video, classifier, at=1.0, method="occlusion")
    with open_video(video, short_side=32) as opened:
        clip = transforms.eval_clip(opened.read(explanation.frames), classifier.clip)
    whole = classifier.model(clip[None])[0, explanation.label_id]
    losses = torch.zeros(4, 2, 2)
    for t, y, x in np.ndindex(4, 2, 2):
        covered = clip.clone()
        for channel in range(3):
            covered[channel, t, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16] = clip[channel].mean()
        losses[t, y, x] = whole - classifier.model(covered[None])[0, explanation.label_id]
    expected = losses.clamp(min=0) / losses.clamp(min=0).sum()
    np.testing.assert_allclose(one.patches, expected, atol=1e-4)


def test_a_stam_is_explained_and_other_kinds_are_not(video: Path, classifier: Classifier) -> None:
    torch.manual_seed(0)
    shape = {"classes": 3, "frames": 4, "size": 32, "width": 32, "depth": 1, "heads": 2}
    stam = Stam(StamConfig(**shape, time_depth=1, time_heads=4, time_hidden=48))
    other = Classifier(stam, classifier.clip, classifier.labels)
    assert explain(video, other, at=1.0).patches.sum() == pytest.approx(1, abs=1e-5)
    taught = TaughtModel(TaughtConfig(stam.config, 3, frames=4, size=32), stam)
    other = Classifier(taught.eval(), classifier.clip, classifier.labels)
    with pytest.raises(UsageError, match="TaughtModel cannot be explained by relevance") as caught:
        explain(video, other, at=1.0)
    assert caught.value.hint == "--method occlusion"
    assert explain(video, other, at=1.0, method="occlusion").patches.shape == (4, 1, 1)
    linear = Classifier(torch.nn.Linear(1, 1), classifier.clip, classifier.labels)
    with pytest.raises(UsageError, match="Linear cannot be explained"):
        explain(video, linear, at=1.0)


def test_the_strip_has_a_tile_for_each_frame_and_the_heat_of_its_patches() -> None:
    patches = np.zeros((2, 2, 2), np.float32)
    patches[1, 0, 1] = 1
    gray = np.full((2, 64, 64, 3), 128, np.uint8)
    one = Explanation(
        "a.mp4", Window(0, 1), ("x", "y"), np.array([0.25, 0.75], np.float32), 1, (0, 3),
        (0.25, 0.75), "relevance", patches, np.array([0.5, -0.1], np.float32),
        np.array([3, -1], np.float32), 1, gray,
    )  # fmt: skip
    scaled = heatmap.scale_patches(one)
    cold, hot = (heatmap.overlay_heat(gray[t], scaled[t]) for t in (0, 1))
    assert (cold == 128).all()
    assert hot[8, 56].tolist() != [128] * 3
    assert np.abs(hot[56, 8].astype(int) - 128).max() < 10
    picture = heatmap.draw_strip(one)
    assert picture.shape[2] == 3
    decoded = cv2.imdecode(
        np.frombuffer(heatmap.encode_image(picture, ".png"), np.uint8), cv2.IMREAD_COLOR
    )
    assert (decoded[..., ::-1] == picture).all()


def test_explain_writes_an_image(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    done = quick("explain", video, "-m", model, "--at", "0:01", "-o", tmp_path / "out")
    assert "walk.mp4  00:00:00.75 - 00:00:01.25" in done.stdout
    assert done.stdout.count("share ") == 4
    picture = tmp_path / "out" / "walk.vidattn.explain.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in done.stderr


def test_a_saved_timeline_is_explained_without_scoring_again(
    quick: Run, video: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick("segment", video, "-m", model, "-f", "json", "-o", "out")
    plain = quick("explain", video, "-m", model, "--json").stdout
    monkeypatch.setattr(explain_command.Explainer, "_segment", None)
    saved = tmp_path / "out" / f"{video.stem}.vidattn.json"
    assert quick("explain", saved, "-m", model, "--json").stdout == plain
    document = json.loads(saved.read_text())
    document["scores"]["labels"] = [f"other {i}" for i in range(len(document["scores"]["labels"]))]
    (tmp_path / "other.json").write_text(json.dumps(document))
    done = quick("explain", "other.json", "-m", model, code=2)
    assert "its timeline is of a model with other labels" in done.stderr


def test_a_drop_of_nothing_is_explained_when_the_model_is_sure(explanation: Explanation) -> None:
    scores = np.zeros_like(explanation.scores)
    scores[explanation.label_id] = 1.0
    none = np.zeros_like(explanation.drops)
    sure = [
        line.plain
        for line in explain_command._lines(replace(explanation, scores=scores, drops=none))
    ]
    assert "so sure that no frame alone lowers the score" in sure[-2]


def test_cold_parts_of_a_heatmap_are_the_image_itself() -> None:
    image = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    cold = heatmap.overlay_heat(image, np.full((2, 2), 0.1, np.float32))
    assert cold[0, 0, 0] - cold[0, 0, 2] > 80  # it has its color, and no more red than before
    assert (cold == heatmap.overlay_heat(image, np.zeros((2, 2), np.float32))).all()
    assert (heatmap.overlay_heat(image, np.ones((2, 2), np.float32)) != cold).any()


def test_explained_videos_are_exact(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    quick("explain", video, "-m", model, "--at", "1", "--mp4")
    with open_video(video) as whole, open_video(tmp_path / "walk.vidattn.explain.mp4") as part:
        inside = whole.times[(whole.times >= 0.7495) & (whole.times < 1.2495)]
        np.testing.assert_allclose(part.times, inside - inside[0], atol=2e-3)
        assert min(part.width, part.height) == 360
        assert part.read([0])[0, :, 90:450].std() > 5


def test_pixels_outside_the_crop_are_dimmed(explanation: Explanation) -> None:
    frame = np.full((240, 400, 3), 200, np.uint8)
    none = np.zeros((2, 2), np.float32)
    picture = heatmap.draw_frame(replace(explanation, crop=0.5), frame, none, 1.0)
    assert (picture[60:180, 140:260] == 200).all()
    assert (picture[:60] == 70).all()


def test_json_leaves_no_file(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    done = quick("explain", video, "-m", model, "--at", "1", "--json", "--label", "run")
    document = json.loads(done.stdout)
    assert (document["schema"], document["label"]) == ("vidattn/explanation/1", "run")
    assert [len(document["frames"]), len(document["patches"]), document["grid"]] == [4, 4, [2, 2]]
    assert sum(map(sum, document["patches"])) == pytest.approx(1, abs=1e-4)
    assert list(tmp_path.glob("*.png")) == []


def test_a_time_after_the_end_fails_as_in_segment(quick: Run, video: Path, model: Path) -> None:
    done = quick("explain", video, "-m", model, "--at", "99", code=3)
    assert done.stdout == ""
    assert f"error: {video}: ends at 4.00 s, before 99 s\nhint: name an earlier" in done.stderr
    assert quick("segment", video, "-m", model, "--start", "99", code=3).stderr == done.stderr


def test_damage_is_named_after_scoring(
    quick: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    data = bytearray(video.read_bytes())
    stop = data.index(b"moov") - 4
    data[stop - 200 : stop] = bytes(200)  # the last pictures
    holed = tmp_path / "holed.mp4"
    holed.write_bytes(data)
    assert "not seen (E_DECODE)" in quick("explain", holed, "-m", model, code=4).stderr
    assert (tmp_path / "holed.vidattn.explain.png").exists()
    quick("explain", holed, "-m", model, "--at", "0.5")


def test_segments_are_explained_by_their_best_window(video: Path, classifier: Classifier) -> None:
    timeline = vidattn.segment(video, classifier, overlap=0.5)
    explanation = list(explain_longest(timeline, classifier))
    real = [s for s in timeline.segments if s.label_id is not None]
    assert len(explanation) == min(len(real), MOST_SEGMENTS)
    for one in explanation:
        segment = next(s for s in real if s.window.start <= one.window.center < s.window.stop)
        assert one.label == segment.label
        row = timeline.scores[timeline.windows.index(one.window), one.label_id]
        assert one.score == pytest.approx(float(row), abs=1e-4)
    assert list(explain_longest(replace(timeline, source="gone.mp4"), classifier)) == []


def test_segment_reports_explanations(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    quick("segment", video, "-m", model, "--explain", "-f", "html")
    assert 'id="explanations"' in (tmp_path / "walk.vidattn.html").read_text("utf-8")


def test_a_convolutional_network_is_explained_by_its_feature_maps(video: Path) -> None:
    torch.manual_seed(0)
    config = Conv2dConfig("tsm", classes=3, frames=4, size=64, width=8, blocks=(1, 1, 1, 1))
    clip = ClipConfig(frames=4, step_seconds=0.125, short_side=64, crop=64)
    network = Classifier(build_model(config).eval(), clip, ("a", "b", "c"))
    one = explain(video, network, at=1.0)
    assert (one.method, one.patches.shape) == ("gradcam", (4, 2, 2))
    assert explain(video, network, at=1.0, method="occlusion").patches.shape == (4, 2, 2)
    with pytest.raises(UsageError, match="FrameResNet cannot be explained by rollout") as caught:
        explain(video, network, at=1.0, method="rollout")
    assert caught.value.hint == "--method gradcam or occlusion"
