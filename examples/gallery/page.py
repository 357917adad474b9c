"""Makes a picture of a page that vidattn has written, or of some of its sections.

    python examples/gallery/page.py out/index.html ethogram.png --sections Ethogram,Actogram

Pictures of the guides in examples/guides are made so. Needs Chromium.
"""

import argparse
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from make import save_image, screenshot
from PIL import Image, ImageChops

SECTION = re.compile(r"<section>.*?</section>", re.DOTALL)
TALL, EDGE = 6000, 24
"""Of the window, and around what is in it, in pixels."""


def keep_sections(text: str, names: list[str]) -> str:
    """The page with no other sections than these, and without its head."""
    kept = [one for one in SECTION.findall(text) if any(f"<h2>{name}<" in one for name in names)]
    assert len(kept) == len(names), f"the page has not all of {', '.join(names)}"
    start, stop = text.index("<header"), text.rindex("</section>") + len("</section>")
    return re.sub(r"<footer.*?</footer>", "", text[:start] + "".join(kept) + text[stop:])


def trim(shot: Image.Image) -> Image.Image:
    """The picture without what is empty right of its content and below."""
    ground = Image.new("RGB", shot.size, shot.getpixel((2, 2)))
    box = ImageChops.difference(shot, ground).point(lambda value: 255 * (value > 8)).getbbox()
    assert box is not None
    return shot.crop((0, 0, min(box[2] + EDGE, shot.width), min(box[3] + EDGE, shot.height)))


def capture_page(page: Path, width: int, sections: list[str]) -> Image.Image:
    """A page as Chromium renders it."""
    text = page.read_text(encoding="utf-8")
    with TemporaryDirectory() as name:
        copy = Path(name) / "page.html"
        copy.write_text(keep_sections(text, sections) if sections else text, encoding="utf-8")
        return trim(screenshot(copy.as_uri(), (width, TALL), 1, Path(name)))


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--sections", default="", help="headings, separated by commas")
    parser.add_argument("--width", type=int, default=1100, help="pixels")
    given = parser.parse_args()
    sections = [name for name in given.sections.split(",") if name]
    save_image(capture_page(given.page, given.width, sections), given.picture)
    print(given.picture)


if __name__ == "__main__":
    main()
