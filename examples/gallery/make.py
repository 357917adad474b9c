"""The pictures of this folder: the report of a film, what one label rests on, terminal and film.

    python examples/gallery/make.py

Makes a film whose camera moves are known, its timeline with motion-tiny and the report, and takes
pictures of it in light, in dark and on a narrow screen; explains the moment in which the camera
begins to move; shows what `vidattn segment` leaves on a terminal, and a frame of a film that
`-f mp4` makes. Needs Chromium.
"""

import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from rich.console import Console

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import film  # noqa: E402

import vidattn  # noqa: E402
from vidattn import output  # noqa: E402
from vidattn.cli import report  # noqa: E402
from vidattn.cli.ribbon import Look  # noqa: E402
from vidattn.output import heat  # noqa: E402
from vidattn.stills import stills  # noqa: E402
from vidattn.timeline import Decoding  # noqa: E402

SCENES = (
    *(("static", 4.0), ("pan right", 5.0), ("static", 3.0), ("tilt up", 4.0), ("zoom in", 3.0)),
    *(("static", 5.0), ("pan right", 3.0), ("tilt up", 5.0), ("static", 4.0), ("zoom in", 2.0)),
)
BEGINS = 4.0
"""Seconds after which the camera moves for the first time."""
PICTURES = {"light": (1280, 1120, 1), "dark": (1280, 1120, 0), "narrow": (500, 1180, 1)}
"""Name -> width, height in pixels and the scheme that the system prefers: 0 is dark, 1 light."""
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


def keep(picture: Image.Image, name: str) -> Path:
    """A picture in 128 colours, which is smaller and looks the same."""
    path = HERE / f"{name}.png"
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def take(page: Path, name: str, folder: Path) -> Path:
    """A picture of a page."""
    width, height, scheme = PICTURES[name]
    shot = screenshot(page.as_uri(), (width, height), scheme, folder)
    return keep(shot, f"report-{name}")


def terminal(timeline: vidattn.Timeline, folder: Path) -> Path:
    """What `vidattn segment` leaves on a terminal of 80 columns."""
    console = Console(
        file=io.StringIO(), record=True, width=80, force_terminal=True, highlight=False,
        color_system="truecolor",
    )  # fmt: skip
    console.print("$ vidattn segment walk_through.mp4 --overlap 0.75 \\", style="bold")
    console.print("      --smooth median --min-duration 0.8", style="bold")
    shown = replace(timeline, source=Path(timeline.source).name)
    for line in report.lively(shown, 5, Look.of(console)):
        console.print(line)
    drawing = console.export_svg(title="")
    drawing = re.sub(r"@font-face\s*{.*?}", "", drawing, flags=re.DOTALL)  # they are on the network
    (folder / "terminal.svg").write_text(drawing, encoding="utf-8")
    shot = screenshot((folder / "terminal.svg").as_uri(), (1000, 900), 0, folder)
    return keep(shot.crop(_inside(shot)), "terminal")


def _inside(shot: Image.Image) -> tuple[int, int, int, int]:
    """The part of a screenshot that is not white."""
    box = shot.point(lambda value: 255 - value).getbbox()
    assert box is not None
    return box


def annotated(folder: Path) -> Path:
    """A frame of an annotated film."""
    film.WIDTH, film.HEIGHT = 640, 360
    scenes = (("static", 2.0), ("pan right", 3.0), ("zoom in", 2.0))
    source = film.write(str(folder / "short.mp4"), scenes)
    timeline = vidattn.segment(source, vidattn.load("motion-tiny"), overlap=0.75)
    path = vidattn.annotate(timeline, folder / "short.vidattn.mp4")
    with vidattn.open_video(path) as video:
        frame = video.read([round(3.6 * film.FPS)])[0]
    picture = HERE / "annotated.jpg"
    Image.fromarray(frame).save(picture, quality=72, optimize=True)
    return picture


def walk_through(folder: Path) -> vidattn.Timeline:
    """The timeline of a film of known camera moves."""
    film.WIDTH, film.HEIGHT = 320, 180
    path = film.write(str(folder / "walk_through.mp4"), SCENES)
    decoding = Decoding(smooth="median", min_duration=0.8)
    return vidattn.segment(path, vidattn.load("motion-tiny"), overlap=0.75, decoding=decoding)


def explained(path: str) -> Path:
    """What the label rests on when the camera begins to move."""
    strip = heat.strip(vidattn.explain(path, vidattn.load("motion-tiny"), at=BEGINS))
    picture = HERE / "explain.jpg"
    Image.fromarray(strip).save(picture, quality=85)
    return picture


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(annotated(folder))
        timeline = walk_through(folder)
        print(terminal(timeline, folder))
        print(explained(timeline.source))
        page = output.write(timeline, folder / "report.html", stills=stills(timeline))
        for name in PICTURES:
            print(take(page, name, folder))
