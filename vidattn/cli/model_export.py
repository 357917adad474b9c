"""Exports of a model: which layouts there are, and what each is written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidattn.cli.model_loading import save_fitted
from vidattn.errors import InputError, UsageError
from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from torch import Tensor

    from vidattn.inference.precision_check import PrecisionCheck
    from vidattn.models.classifier import Classifier
    from vidattn.weights.graph_export import GraphCheck

Layout = Literal["vidattn", "official", "hf", "onnx", "openvino", "pt2"]
SUFFIXES: dict[Layout, tuple[str, ...]] = {
    "vidattn": (".safetensors",),
    "official": (".pyth", ".pth"),
    "hf": (),
    "onnx": (".onnx",),
    "openvino": (".xml",),
    "pt2": (".pt2",),
}
"""The endings of what each layout writes; none: a folder."""
MOST_CLIPS = 32
"""Clips of the videos for calibration, spread over all of them."""
FEW_CLIPS = 8
"""Fewer clips say little about other videos."""
MOST_SPANS = 20
"""Unreadable spans of a video that are named."""


def require_layout(
    layout: Layout, output: Path, *, dynamic_frames: bool, calibration: Sequence[str]
) -> None:
    """Raise UsageError for a path or options that do not fit a layout."""
    endings = SUFFIXES[layout]
    if (output.suffix not in endings) if endings else (output.suffix in sum(SUFFIXES.values(), ())):
        kind = f"file that ends in {' or '.join(endings)}" if endings else "folder"
        raise UsageError(f"-o {output}: --layout {layout} writes a {kind}")
    if dynamic_frames and layout not in ("onnx", "openvino"):
        raise UsageError(f"--dynamic-frames: --layout {layout} has clips of one length")
    if calibration and layout not in ("vidattn", "openvino"):
        raise UsageError("--int8 is for --layout vidattn and openvino")


def export(
    classifier: Classifier,
    layout: Layout,
    output: Path,
    *,
    source: str,
    dynamic_frames: bool = False,
    calibration: Sequence[str] = (),
    warn: Callable[[str], None] = lambda _: None,
) -> GraphCheck | PrecisionCheck | None:
    """Write a model in a layout. source: the name or path it was loaded from. warn: takes what is
    wrong with the videos for calibration.

    Returns how 8-bit integers or the graph of another runtime were checked.
    """
    from vidattn import weights
    from vidattn.weights import graph_export

    clips = read_clips(classifier, calibration, warn) if calibration else []
    if layout == "vidattn":
        return save_calibrated(classifier, output, source, clips)
    if layout in ("official", "hf"):
        (weights.save_official if layout == "official" else weights.save_hf)(classifier, output)
        return None
    if layout == "pt2":
        return graph_export.save_pt2(classifier, output)
    if layout == "onnx":
        return graph_export.save_onnx(classifier, output, dynamic_frames=dynamic_frames)
    return graph_export.save_openvino(
        classifier, output, dynamic_frames=dynamic_frames, calibration=clips
    )


def save_calibrated(
    classifier: Classifier, output: Path, source: str, clips: Sequence[Tensor]
) -> PrecisionCheck | None:
    """Write a file of ours, calibrated on clips [3, T, H, W] if there are any."""
    from vidattn.inference.precision_check import PrecisionCheck, calibrate_int8

    if clips:
        classifier = calibrate_int8(classifier, clips)
    save_fitted(classifier, output, source)
    found = classifier.int8_calibration()
    return None if found is None else PrecisionCheck.of_calibration(found)


def read_clips(
    classifier: Classifier, paths: Sequence[str], warn: Callable[[str], None]
) -> list[Tensor]:
    """Clips [3, T, H, W] spread over videos. Raises InputError where none can be read."""
    from vidattn.data.frames import file_start, readable_end, view_clips
    from vidattn.data.plan import plan_views
    from vidattn.types import Window
    from vidattn.video import open_video

    clips: list[Tensor] = []
    clip = classifier.clip
    frames = max(MOST_CLIPS // len(paths), 1) * clip.frames
    for path in paths:
        with open_video(path, short_side=clip.short_side, framing=clip.framing) as video:
            region = Window(0.0, readable_end(video))
            planned = plan_views(video.times, region, clip, frames=frames, mode="dense")
            found = view_clips(video, planned.views, clip)
            clips += [one for one in found if one is not None]
            for lost in video.unreadable[:MOST_SPANS]:
                span = lost.window.shift(file_start(video))
                warn(f"{path}: {span.start:.2f} to {span.stop:.2f} s not seen ({lost.code})")
            if (more := len(video.unreadable) - MOST_SPANS) > 0:
                warn(f"{path}: {count_noun(more, 'more span')} not seen")
    if not clips:
        raise InputError(f"{paths[0]}: has no clip to calibrate with")
    if len(clips) < FEW_CLIPS:
        few = count_noun(len(clips), "calibration clip")
        warn(f"{few}: a calibration is for videos like its own; add longer ones with --int8")
    return clips[:MOST_CLIPS]
