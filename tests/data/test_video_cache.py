"""Videos that stay in memory: the same frames, opened once, within the room there is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vidattn.config import ClipConfig, DataConfig, OptimConfig, Recipe, ViewConfig
from vidattn.data.clip_dataset import TrainingClips, VideoDataset
from vidattn.data.sets import open_dataset
from vidattn.data.video_cache import VideoCache
from vidattn.errors import VideoError
from vidattn.evaluation.dataset import make_planner
from vidattn.video import open_video

CLIP = ClipConfig(frames=4, short_side=32, crop=32, train_sampling="bins", sampling="uniform")


@pytest.fixture
def own(clips: Path, tmp_path: Path) -> Path:
    """A copy of the clips that may be changed."""
    return Path(shutil.copytree(clips, tmp_path / "own"))


def a_video(clips: Path) -> Path:
    return sorted(clips.rglob("*.mp4"))[0]


def test_a_cached_video_has_the_same_frames(clips: Path) -> None:
    path = str(a_video(clips))
    videos = VideoCache(64)
    with open_video(path, short_side=32) as video:
        frames, times, duration = video.read([0, 3, 3, 1]), video.times, video.duration
    for _ in range(2):
        with videos.open(path, 32) as cached:
            assert cached.reader == "memory"
            assert np.array_equal(cached.read([0, 3, 3, 1]), frames)
            assert np.array_equal(cached.times, times)
            assert cached.duration == duration


def test_a_cached_video_is_not_opened_again(own: Path) -> None:
    path = a_video(own)
    cached, forgetful = VideoCache(64), VideoCache(0)
    for videos in (cached, forgetful):
        videos.open(str(path), 32).close()
    path.unlink()
    cached.open(str(path), 32).close()
    with pytest.raises(VideoError):
        cached.open(str(path), 24)  # another size is another video
    with pytest.raises(VideoError):
        forgetful.open(str(path), 32)


def test_a_video_beyond_the_cache_is_read_from_its_file(clips: Path) -> None:
    videos = VideoCache(1)
    with videos.open(str(a_video(clips)), 240) as video:
        assert video.frames * video.height * video.width * 3 > 2**20 / 16
        assert video.reader != "memory"


def test_clips_are_the_same_whether_there_is_room_or_not(clips: Path) -> None:
    train = open_dataset(str(clips), None, "train")
    data = DataConfig(short_side_range=(200, 240))
    full, roomy = (
        TrainingClips(train, CLIP, data, seed=5, videos=VideoCache(megabytes))
        for megabytes in (1, 64)
    )
    for epoch in range(2):
        for index in range(3):
            assert torch.equal(full[epoch, index].clip, roomy[epoch, index].clip)


@pytest.mark.parametrize(("keep_mb", "read_once"), [(64, True), (0, False)])
def test_cached_validation_videos_are_read_once(own: Path, keep_mb: int, read_once: bool) -> None:
    recipe = Recipe(
        "small",
        clip=CLIP,
        optim=OptimConfig(batch_size=2, epochs=1),
        data=DataConfig(dataset=str(own), cache_mb=keep_mb),
    )
    train, val = (open_dataset(str(own), None, half) for half in ("train", "val"))
    examples = VideoDataset(recipe, train, val, make_planner(CLIP, ViewConfig(1, 1)))
    first = list(examples.validation_batches())
    for item in val.items:
        Path(item.path).unlink()
    again = list(examples.validation_batches())
    assert bool(again) == read_once
    assert bool(examples.unreadable) != read_once
    assert all(
        torch.equal(a.clips, b.clips) for a, b in zip(first[: len(again)], again, strict=True)
    )
