"""The pictures of this folder: the report of a film, what one label rests on, terminal and film.

    python examples/gallery/make.py big_buck_bunny.mp4 --at 6.5

Makes a film whose camera moves are known, its timeline with motion-tiny and the report, and takes
pictures of it in light, in dark and on a narrow screen, and of what `vidattn segment` leaves on a
terminal (needs Chromium). Of the film that is named it explains one moment, and shows that moment
as `-f mp4` draws it. `--only explain,annotated` makes just these; `-o DIR` writes elsewhere.
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

import film  # noqa: E402

import vidattn  # noqa: E402
from vidattn import output  # noqa: E402
from vidattn.cli.terminal import timeline as report  # noqa: E402
from vidattn.cli.terminal.tracks import TerminalStyle  # noqa: E402
from vidattn.output.thumbnails import thumbnails  # noqa: E402
from vidattn.output.video import heatmap  # noqa: E402
from vidattn.timeline import Decoding  # noqa: E402

SCENES = (
    *(("static", 4.0), ("pan right", 5.0), ("static", 3.0), ("tilt up", 4.0), ("zoom in", 3.0)),
    *(("static", 5.0), ("pan right", 3.0), ("tilt up", 5.0), ("static", 4.0), ("zoom in", 2.0)),
)
BEFORE, AFTER = 6.5, 4.5
"""Seconds around a moment that are segmented for the annotated film."""
PICTURES = {"light": (1280, 1120, 1), "dark": (1280, 1120, 0), "narrow": (500, 1180, 1)}
"""Name -> width, height in pixels and the scheme that the system prefers: 0 is dark, 1 light."""
KINDS = ("explain", "annotated", "terminal", "report")
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")


def screenshot(address: str, size: tuple[int, int], scheme: int, folder: Path) -> Image.Image:
    """What Chromium shows."""
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


def keep(picture: Image.Image, path: Path) -> Path:
    """A picture in 128 colours, which is smaller and looks the same."""
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def take(page: Path, name: str, folder: Path, out: Path) -> Path:
    """A picture of a page."""
    width, height, scheme = PICTURES[name]
    shot = screenshot(page.as_uri(), (width, height), scheme, folder)
    return keep(shot, out / f"report-{name}.png")


def terminal(timeline: vidattn.Timeline, folder: Path, out: Path) -> Path:
    """What `vidattn segment` leaves on a terminal of 80 columns."""
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
    drawing = re.sub(r"@font-face\s*{.*?}", "", drawing, flags=re.DOTALL)  # they are on the network
    (folder / "terminal.svg").write_text(drawing, encoding="utf-8")
    shot = screenshot((folder / "terminal.svg").as_uri(), (1000, 900), 0, folder)
    return keep(shot.crop(_inside(shot)), out / "terminal.png")


def _inside(shot: Image.Image) -> tuple[int, int, int, int]:
    """The part of a screenshot that is not white."""
    box = shot.point(lambda value: 255 - value).getbbox()
    assert box is not None
    return box


def annotated(source: str, at: float, folder: Path, out: Path) -> Path:
    """A frame of an annotated film."""
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
    picture = out / "annotated.jpg"
    Image.fromarray(frame).save(picture, quality=85, optimize=True)
    return picture


def walk_through(folder: Path) -> vidattn.Timeline:
    """The timeline of a film of known camera moves."""
    film.WIDTH, film.HEIGHT = 320, 180
    path = film.write(str(folder / "walk_through.mp4"), SCENES)
    decoding = Decoding(smooth="median", min_duration=0.8)
    return vidattn.segment(path, vidattn.load("motion-tiny"), overlap=0.75, decoding=decoding)


def explained(source: str, at: float, out: Path) -> Path:
    """What the label of a moment rests on, as the paper shows it in its Figure 7."""
    strip = heatmap.draw_strip(vidattn.explain(source, vidattn.load("motion-tiny"), at=at))
    picture = out / "explain.jpg"
    Image.fromarray(strip).save(picture, quality=85, optimize=True)
    return picture


def made(source: str | None, at: float, wanted: set[str], out: Path) -> Iterator[Path]:
    """The pictures that are wanted: explain, annotated, terminal, report."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if source is not None and "explain" in wanted:
            yield explained(source, at, out)
        if source is not None and "annotated" in wanted:
            yield annotated(source, at, folder, out)
        if not wanted & {"terminal", "report"}:
            return
        timeline = walk_through(folder)
        if "terminal" in wanted:
            yield terminal(timeline, folder, out)
        if "report" in wanted:
            page = output.write(
                timeline, folder / "walk_through.vidattn.html", stills=thumbnails(timeline)
            )
            for name in PICTURES:
                yield take(page, name, folder, out)


def main() -> None:
    """Make them, and say where they are."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("film", nargs="?", help="a real film; without it only the others are made")
    words.add_argument("--at", type=float, default=6.5, help="the moment that is shown, in seconds")
    words.add_argument("--only", default=",".join(KINDS), help="some of these, with commas between")
    words.add_argument("-o", type=Path, default=HERE, metavar="DIR")
    asked = words.parse_args()
    for path in made(asked.film, asked.at, set(asked.only.split(",")), asked.o):
        print(path)


if __name__ == "__main__":
    main()
