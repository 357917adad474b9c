"""The procedural set: labels follow the camera, pictures the label, and all of it repeats."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidattn.config import ClipConfig, DataConfig, OptimConfig, Recipe, TimeSformerConfig
from vidattn.data.motion.camera import (
    LABELS,
    MOVE,
    STILL,
    CameraPath,
    classify_path,
    compute_flow,
    draw_path,
)
from vidattn.data.motion.dataset import (
    MotionSamples,
    make_sample,
    mirror_sample,
    validation_samples,
)
from vidattn.data.motion.scene import render
from vidattn.data.motion.textures import DrawnTextures, PhotographedTextures
from vidattn.errors import DataError

CLIP = ClipConfig(frames=8, step_seconds=0.125, short_side=48, crop=48)
TINY = Recipe(
    name="tiny",
    model=TimeSformerConfig(classes=10, frames=8, size=48, patch=12, width=16, depth=1, heads=2),
    clip=CLIP,
    optim=OptimConfig(batch_size=8, epochs=2),
    data=DataConfig("motion", clips_per_epoch=16, min_difficulty=0.2, curriculum=0.5),
)


@pytest.fixture(scope="module")
def textures() -> DrawnTextures:
    return DrawnTextures((5,), 6)


def steady(**speeds: float) -> np.ndarray:
    """Poses [8, 4] of an even motion; x, y, zoom and roll per step."""
    speed = [speeds.get(name, 0.0) for name in ("x", "y", "zoom", "roll")]
    return np.arange(8)[:, None] * np.array(speed)


@pytest.mark.parametrize(
    ("speeds", "name"),
    [
        ({}, "static"),
        ({"x": -0.02}, "pan left"),
        ({"x": 0.02}, "pan right"),
        ({"y": -0.02}, "tilt up"),
        ({"y": 0.02}, "tilt down"),
        ({"zoom": 0.04}, "zoom in"),
        ({"zoom": -0.04}, "zoom out"),
        ({"roll": 0.04}, "roll cw"),
        ({"roll": -0.04}, "roll ccw"),
    ],
)
def test_the_label_is_read_off_the_path(speeds: dict[str, float], name: str) -> None:
    label = classify_path(steady(**speeds))
    assert label is not None
    assert LABELS[label] == name


def test_a_motion_between_two_classes_has_no_label() -> None:
    assert classify_path(steady(x=(MOVE + STILL) / 2)) is None
    assert classify_path(steady(x=0.02, y=0.02)) is None


def test_trembling_without_drift_is_handheld() -> None:
    poses = np.zeros((8, 4))
    poses[1::2, 0] = 0.03
    label = classify_path(poses)
    assert label is not None
    assert LABELS[label] == "handheld"


@pytest.mark.parametrize("label", range(len(LABELS)))
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_a_drawn_path_has_the_label_asked_for(label: int, difficulty: float) -> None:
    for seed in range(20):
        path = draw_path(np.random.default_rng(seed), label, 8, difficulty)
        assert classify_path(path.points[1:-1]) == label


def test_content_moves_against_the_camera() -> None:
    assert np.allclose(compute_flow(steady(x=0.02), 4), [-0.02, 0], atol=1e-6)
    zoom = compute_flow(steady(zoom=0.1), 4)
    assert (zoom[:, :, -1, 0] > 0).all(), "zooming in drives the right part to the right"
    roll = compute_flow(steady(roll=0.1), 4)
    assert (roll[:, 0, :, 0] < 0).all(), "a clockwise roll turns the content the other way"


@pytest.mark.parametrize(("x", "y"), [(0.125, 0), (-0.125, 0), (0, 0.125), (0, -0.125)])
def test_the_frame_moves_along_the_path(textures: DrawnTextures, x: float, y: float) -> None:
    path = CameraPath(np.arange(-1, 9)[:, None] * np.array([x, y, 0, 0]))
    clip, flow = render(np.random.default_rng(3), textures, path, 64, 0.0)
    gray = clip.mean(-1).astype(np.float32)
    window = cv2.createHanningWindow((64, 64), cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(gray[0], gray[1], window)
    assert np.allclose(shift, flow[0].mean((0, 1)) * 64, atol=0.5)


def test_a_clip_depends_on_its_seed(textures: DrawnTextures) -> None:
    def rendered(seed: int) -> np.ndarray:
        return make_sample(np.random.default_rng(seed), textures, 3, CLIP).frames

    assert np.array_equal(rendered(1), rendered(1))
    assert not np.array_equal(rendered(1), rendered(2))


@pytest.mark.parametrize("across", range(8))
def test_a_mirrored_clip_has_mirrored_label_and_flow(textures: DrawnTextures, across: int) -> None:
    original = make_sample(np.random.default_rng(4), textures, 2, CLIP, difficulty=0.0)
    seen = mirror_sample(original, across)
    mean = seen.flow.mean((0, 1, 2))
    direction = {"pan left": (1, 0), "pan right": (-1, 0), "tilt up": (0, 1), "tilt down": (0, -1)}
    assert np.argmax(np.abs(mean)) == np.argmax(np.abs(direction[LABELS[seen.label]]))
    assert mean @ np.array(direction[LABELS[seen.label]]) > 0


def test_mirroring_twice_gives_the_clip_back(textures: DrawnTextures) -> None:
    original = make_sample(np.random.default_rng(4), textures, 7, CLIP)
    again = mirror_sample(mirror_sample(original, 3), 3)
    assert again.label == original.label
    assert np.array_equal(again.frames, original.frames)


def test_a_batch_depends_on_its_number_alone() -> None:
    one, other = MotionSamples(TINY), MotionSamples(TINY)
    expected = list(one.batches())
    assert len(expected) == 4
    late = next(iter(other.batches(first=3)))
    assert torch.equal(late.clips, expected[3].clips)
    assert torch.equal(late.labels, expected[3].labels)


def test_a_batch_has_the_shapes_a_model_wants() -> None:
    batch = MotionSamples(TINY)[0]
    assert batch.clips.shape == (8, 3, 8, 48, 48)
    assert batch.clips.dtype == torch.float32
    assert batch.flow is not None
    assert batch.flow.shape == (8, 7, 4, 4, 2)
    assert torch.isfinite(batch.clips).all()


def test_difficulty_rises_to_one() -> None:
    batches = MotionSamples(TINY)
    assert [batches.difficulty(s) for s in (0, 1, 2, 3)] == pytest.approx([0.2, 0.6, 1, 1])


def test_validation_clips_are_balanced_and_repeat() -> None:
    first = list(validation_samples(CLIP, 20, batch_size=15))
    labels = torch.cat([b.labels for b in first])
    assert torch.bincount(labels).tolist() == [2] * 10
    again = next(validation_samples(CLIP, 20, batch_size=15))
    assert torch.equal(first[0].clips, again.clips)


def test_photographs_serve_as_textures(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    photographed = PhotographedTextures(tmp_path)
    assert len(photographed) == 1
    assert min(photographed[0][0].shape[:2]) == 512
    batch = next(validation_samples(CLIP, 10, folder=tmp_path))
    assert batch.clips.shape == (10, 3, 8, 48, 48)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match="no readable image or video"):
        PhotographedTextures(tmp_path)
