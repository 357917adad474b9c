"""Makes the images of this folder: a report, an explanation, a terminal, an annotated video.

    python examples/gallery/make.py big_buck_bunny.mp4 --at 6.5

Segments the beginning of the given video with motion-tiny and captures its report in light and dark
mode and on a phone (needs Chromium), explains one moment of it, and draws that moment as `-f mp4`
does. Renders a video with known camera motion for the output of `vidattn segment` on a terminal,
and for the report if no video is given.
`--only explain,annotated` makes just these; `-o DIR` writes elsewhere.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from rich.console import Console

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import sample_video  # noqa: E402

import vidattn  # noqa: E402
from vidattn import output  # noqa: E402
from vidattn.cli.terminal import timeline as report  # noqa: E402
from vidattn.cli.terminal.timeline import TerminalStyle  # noqa: E402
from vidattn.output.thumbnails import thumbnails  # noqa: E402
from vidattn.output.video import heatmap  # noqa: E402
from vidattn.timeline import Decoding  # noqa: E402

SCENES = (
    *(("static", 4.0), ("pan right", 5.0), ("static", 3.0), ("tilt up", 4.0), ("zoom in", 3.0)),
    *(("static", 5.0), ("pan right", 3.0), ("tilt up", 5.0), ("static", 4.0), ("zoom in", 2.0)),
)
BEGINNING = 120.0
"""Seconds of a video in the report."""
BEFORE, AFTER = 6.5, 4.5
"""Seconds around a moment that are segmented for the annotated video."""
REPORTS = {"light": (1280, 800, 1), "dark": (1280, 800, 0), "narrow": (500, 1000, 1)}
"""Name -> width and height in pixels, and the preferred color scheme: 0 is dark, 1 light."""
PLAYER = 30, 150, 300, 230
"""A part of the player above its controls in all screenshots: left, top, right, bottom."""
KINDS = ("explain", "annotated", "terminal", "report")
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")


def screenshot(address: str, size: tuple[int, int], scheme: int, folder: Path) -> Image.Image:
    """A page as Chromium renders it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "Chromium is not installed"
    shot = folder / "shot.png"
    subprocess.run(
        [
            *(chromium, *SWITCHES, f"--user-data-dir={folder / 'profile'}", f"--screenshot={shot}"),
            *("--window-size={},{}".format(*size), "--virtual-time-budget=15000"),
            *(f"--blink-settings=preferredColorScheme={scheme}", address),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return Image.open(shot).convert("RGB")


def save_image(image: Image.Image, path: Path) -> Path:
    """Save an image with 256 colors, which is smaller and looks the same."""
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def capture_report(page: Path, at: float, name: str, folder: Path, out: Path) -> Path:
    """A screenshot of a report at a moment."""
    width, height, scheme = REPORTS[name]
    address = f"{page.as_uri()}#t={at}"
    for _ in range(10):
        shot = screenshot(address, (width, height), scheme, folder)
        if shot.crop(PLAYER).getcolors(100) is None:
            break  # the video was there in time
    return save_image(shot, out / f"report-{name}.png")


def capture_terminal(timeline: vidattn.Timeline, folder: Path, out: Path) -> Path:
    """The output of `vidattn segment` on a terminal of 80 columns."""
    console = Console(
        file=io.StringIO(), record=True, width=80, force_terminal=True, highlight=False,
        color_system="truecolor",
    )  # fmt: skip
    console.print("$ vidattn segment walk_through.mp4 --overlap 0.75 \\", style="bold")
    console.print("      --smooth median --min-duration 0.8", style="bold")
    shown = replace(timeline, source=Path(timeline.source).name)
    for line in report.animated_lines(shown, 5, TerminalStyle.of(console)):
        console.print(line)
    drawing = console.export_svg(title="")
    drawing = re.sub(r"@font-face\s*{.*?}", "", drawing, flags=re.DOTALL)  # they need the network
    (folder / "terminal.svg").write_text(drawing, encoding="utf-8")
    shot = screenshot((folder / "terminal.svg").as_uri(), (1000, 900), 0, folder)
    return save_image(shot.crop(_inside(shot)), out / "terminal.png")


def _inside(shot: Image.Image) -> tuple[int, int, int, int]:
    """The bounding box of a screenshot without its white margin."""
    box = shot.point(lambda value: 255 - value).getbbox()
    assert box is not None
    return box


def draw_annotated(source: str, at: float, folder: Path, out: Path) -> Path:
    """A frame of an annotated video."""
    start = max(at - BEFORE, 0.0)
    timeline = vidattn.segment(
        source,
        vidattn.load("motion-tiny"),
        overlap=0.75,
        start=start,
        end=at + AFTER,
        decoding=Decoding(smooth="median", min_duration=0.8),
    )
    path = vidattn.annotate(timeline, folder / "annotated.vidattn.mp4")
    with vidattn.open_video(path) as video:
        number = int(np.searchsorted(video.times, at - timeline.part.start))
        frame = video.read([min(number, video.frames - 1)])[0]
    image = out / "annotated.jpg"
    Image.fromarray(frame).save(image, quality=85, optimize=True)
    return image


def segment_walk_through(folder: Path) -> vidattn.Timeline:
    """The timeline of a video with known camera motion."""
    sample_video.WIDTH, sample_video.HEIGHT = 320, 180
    path = sample_video.write(str(folder / "walk_through.mp4"), SCENES)
    decoding = Decoding(smooth="median", min_duration=0.8)
    return vidattn.segment(path, vidattn.load("motion-tiny"), overlap=0.75, decoding=decoding)


def segment_beginning(source: str) -> vidattn.Timeline:
    """The timeline of the first minutes of a video."""
    return vidattn.segment(source, vidattn.load("motion-tiny"), overlap=0.5, end=BEGINNING)


def draw_explanation(source: str, at: float, out: Path) -> Path:
    """The explanation of a moment, as in Figure 7 of the paper."""
    strip = heatmap.draw_strip(vidattn.explain(source, vidattn.load("motion-tiny"), at=at))
    image = out / "explain.jpg"
    Image.fromarray(strip).save(image, quality=85, optimize=True)
    return image


def make_images(source: str | None, at: float, kinds: set[str], out: Path) -> Iterator[Path]:
    """The images of some kinds: explain, annotated, terminal, report."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if source is not None and "explain" in kinds:
            yield draw_explanation(source, at, out)
        if source is not None and "annotated" in kinds:
            yield draw_annotated(source, at, folder, out)
        if "terminal" in kinds:
            yield capture_terminal(segment_walk_through(folder), folder, out)
        if "report" in kinds:
            timeline = segment_beginning(source) if source else segment_walk_through(folder)
            page = output.write(timeline, folder / "report.html", stills=thumbnails(timeline))
            for name in REPORTS:
                yield capture_report(page, at, name, folder, out)


def main() -> None:
    """Make the images and print their paths."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("video", nargs="?", help="a real video, for explain and annotated")
    parser.add_argument("--at", type=float, default=6.5, help="the moment to show, in seconds")
    parser.add_argument(
        "--only", default=",".join(KINDS), help="kinds of images, separated by commas"
    )
    parser.add_argument("-o", type=Path, default=HERE, metavar="DIR")
    options = parser.parse_args()
    for path in make_images(options.video, options.at, set(options.only.split(",")), options.o):
        print(path)


if __name__ == "__main__":
    main()
