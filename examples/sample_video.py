"""A short video to try things on: plain textures under a camera that moves as the file name says.

    python examples/sample_video.py video.mp4

Shared by the numbered examples; needs nothing that is not installed with vidattn.
"""

import sys
from fractions import Fraction

import av
import numpy as np

SCENES = (("static", 3.0), ("pan right", 4.0), ("zoom in", 3.0), ("tilt up", 3.0))
FPS, WIDTH, HEIGHT = 24, 320, 180


def texture(size: int, seed: int = 1) -> np.ndarray:
    """Colored noise with detail at every scale: uint8 [size, size, 3]."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size, size, 3))
    for cells in (6, 14, 30, 70, 150):
        coarse = rng.normal(0, 1 / cells**0.5, (cells, cells, 3))
        at = np.linspace(0, cells - 1, size)
        low, part = at.astype(int), (at % 1)[:, None, None]
        high = np.minimum(low + 1, cells - 1)
        rows = coarse[low] * (1 - part) + coarse[high] * part
        part = part.transpose(1, 0, 2)
        picture += rows[:, low] * (1 - part) + rows[:, high] * part
    return np.clip(128 + 150 * picture, 0, 255).astype(np.uint8)


def frames(scenes: tuple[tuple[str, float], ...] = SCENES) -> list[np.ndarray]:
    """The whole video: uint8 [HEIGHT, WIDTH, 3] each."""
    ground, x, y, zoom, images = texture(1400), 700.0, 700.0, 1.0, []
    for move, seconds in scenes:
        for _ in range(round(seconds * FPS)):
            x += 2.0 * (move == "pan right")
            y -= 2.0 * (move == "tilt up")
            zoom *= 1.008 if move == "zoom in" else 1.0
            rows = y + (np.arange(HEIGHT) - HEIGHT / 2) / zoom
            columns = x + (np.arange(WIDTH) - WIDTH / 2) / zoom
            images.append(ground[rows.astype(int)][:, columns.astype(int)])
    return images


def write(path: str, scenes: tuple[tuple[str, float], ...] = SCENES) -> str:
    """Encode the video as H.264 and return its path."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames(scenes):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


if __name__ == "__main__":
    print(write(sys.argv[1] if len(sys.argv) > 1 else "video.mp4"))
