"""The pictures of this folder: the report of a film, as Chromium shows it.

    python examples/gallery/make.py

Makes a film whose camera moves are known, its timeline with motion-tiny and the report, and takes
pictures of it in light, in dark and on a narrow screen. Needs Chromium.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import film  # noqa: E402

import vidattn  # noqa: E402
from vidattn import output  # noqa: E402
from vidattn.stills import stills  # noqa: E402
from vidattn.timeline import Decoding  # noqa: E402

SCENES = (
    *(("static", 4.0), ("pan right", 5.0), ("static", 3.0), ("tilt up", 4.0), ("zoom in", 3.0)),
    *(("static", 5.0), ("pan right", 3.0), ("tilt up", 5.0), ("static", 4.0), ("zoom in", 2.0)),
)
PICTURES = {"light": (1280, 1120, 1), "dark": (1280, 1120, 0), "narrow": (500, 1180, 1)}
"""Name -> width, height in pixels and the scheme that the system prefers: 0 is dark, 1 light."""
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")


def take(page: Path, name: str, folder: Path) -> Path:
    """A picture of a page in 128 colours, which is smaller and looks the same."""
    width, height, scheme = PICTURES[name]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "Chromium is not installed"
    shot, picture = folder / f"{name}.png", HERE / f"report-{name}.png"
    subprocess.run(
        [
            *(chromium, *SWITCHES, f"--user-data-dir={folder / name}", f"--screenshot={shot}"),
            *(f"--window-size={width},{height}", "--virtual-time-budget=15000"),
            *(f"--blink-settings=preferredColorScheme={scheme}", page.as_uri()),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    Image.open(shot).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        picture, optimize=True
    )
    return picture


with TemporaryDirectory() as temporary:
    folder = Path(temporary)
    path = film.write(str(folder / "walk_through.mp4"), SCENES)
    decoding = Decoding(smooth="median", min_duration=0.8)
    timeline = vidattn.segment(path, vidattn.load("motion-tiny"), overlap=0.75, decoding=decoding)
    page = output.write(timeline, folder / "report.html", stills=stills(timeline))
    for name in PICTURES:
        print(take(page, name, folder))
