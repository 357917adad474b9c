"""Table 8: one clip of a long video, clips that tile it, a spread clip, a head over windows.

    python examples/paper/long_videos.py

Videos have 32 frames, and an event in each half. `one`: a clip of neighboring frames from the
middle. `tiles`: the mean over clips side by side, of the same model. `spread`: one clip whose
frames are spread over the video. `head`: a transformer over what the model of `tiles` makes of each
clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial

import torch
from einops import rearrange
from experiment import Setting, draw_batches, main, measure, prepare, small, train, validation
from tasks import ORDER, Drawn, Task
from torch import Tensor

from vidattn.config import TemporalConfig
from vidattn.models.classifier import build_model
from vidattn.models.layers import ClipModel
from vidattn.models.temporal_head import TemporalHead

VIDEO = 32
WAYS = ("one", "tiles", "spread", "head")


def make(tasks: list[Task]) -> list[Setting]:
    """Each way with each length of a clip; at the length of the video they are the same."""
    return [
        Setting(way, task, small("divided", task, frames=frames, size=8), frames, 0, VIDEO, way=way)
        for task in tasks
        for frames in (4, 32)
        for way in WAYS
        if frames < VIDEO or way == "tiles"
    ]


def cut(clips: Tensor, frames: int, random: torch.Generator) -> Tensor:
    """Neighboring frames of [B, 3, T, H, W], from a random one on for each batch."""
    first = int(torch.randint(clips.shape[2] - frames + 1, (1,), generator=random))
    return clips[:, :, first : first + frames]


def spread(clips: Tensor, frames: int) -> Tensor:
    """Frames in the middle of equal parts of [B, 3, T, H, W]."""
    places = ((torch.arange(frames) + 0.5) * clips.shape[2] / frames).long()
    return clips[:, :, places]


def learn(setting: Setting, seed: int, steps: int) -> float:
    """Train on clips of one kind, and measure in the way of the setting."""
    length, clip, way = setting.frames, setting.model.frames, setting.way
    way_to_train = way if way == "spread" else ""
    model = learn_clips(replace(setting, name="", way=way_to_train), seed, steps)
    videos = validation(setting)
    if way == "spread":
        return measure(lambda clips: model(spread(clips, clip)), videos)
    if way == "one":
        middle = (length - clip) // 2
        return measure(lambda clips: model(clips[:, :, middle : middle + clip]), videos)
    if way == "tiles":
        return measure(lambda clips: model.head(embed(model, clips)).softmax(-1).mean(1), videos)
    head = learn_head(setting, model, seed, steps)
    return measure(lambda clips: head(embed(model, clips)), videos)


@lru_cache(maxsize=2)
def learn_clips(setting: Setting, seed: int, steps: int) -> ClipModel:
    """A model of clips, spread over their videos or cut out of them."""
    torch.manual_seed(seed)
    frames, random = setting.model.frames, torch.Generator().manual_seed(seed + 1000)
    take = spread if setting.way == "spread" else partial(cut, random=random)
    batches = ((take(clips, frames), labels) for clips, labels in draw_batches(setting, seed))
    model = prepare(build_model(setting.model), seed)
    train(model, batches, steps, setting.lr)
    return model


def learn_head(setting: Setting, model: ClipModel, seed: int, steps: int) -> TemporalHead:
    """A transformer over the windows of a frozen model."""
    width, windows = setting.model.width, setting.frames // setting.model.frames
    shape = TemporalConfig(setting.task.classes, width, windows, 32, 1, 4)

    def batches() -> Iterator[Drawn]:
        for clips, labels in draw_batches(setting, seed + 1000):
            yield embed(model, clips), labels

    head = TemporalHead(shape)
    train(head, batches(), steps, setting.lr)
    return head


@torch.no_grad()
def embed(model: ClipModel, clips: Tensor) -> Tensor:
    """Embeddings [B, N, D] of the clips side by side of videos [B, 3, T, H, W]."""
    frames = model.config.frames
    tokens = model.encode_frames(rearrange(clips, "b c t h w -> (b t) c h w"))
    parts = model.embeddings(tokens.unflatten(0, (-1, frames)))
    return parts.unflatten(0, (len(clips), -1))


if __name__ == "__main__":
    main("long_videos", __doc__, make, (ORDER,), "frames of a clip", learn)
