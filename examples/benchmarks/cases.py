"""Films and command lines that went wrong for other people, beside what is right for each.

    python examples/benchmarks/cases.py SCRIPTS FOLDER

SCRIPTS has the generators films.sh, double_stamp.py, side_data.py and the command lines
commands.sh; FOLDER receives the films, unless it has them. Every film is segmented by motion-tiny:
its labels, and when each ends, to half a second; whether all of it was seen. Needs ffmpeg, Pillow
and vidattn on the PATH. Exit code 1 when one is wrong.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import vidattn

NEAR = 0.5
"""Seconds that a boundary may be off: half a window."""
FIRST = (("static", 10.0), ("pan right", 20.0), ("zoom in", 25.0))
JOINED = (*FIRST, ("tilt up", 31.0), ("static", 37.0))
DOUBLE = (("static", 15.0), ("pan right", 25.0), ("zoom in", 30.0))


@dataclass(frozen=True)
class Right:
    """What is right for a film."""

    spans: tuple[tuple[str, float], ...] = FIRST
    """Labels, and the second at which each ends, counted from the first frame."""
    near: float = NEAR
    offset: float = 0.0
    """Seconds between the start of the file and its first frame."""
    timecode: str | None = None


FILMS: dict[str, Right] = {
    **{f"1_long_{name}": Right() for name in ("sound.mkv", "sound.webm", "subtitles.mkv")},
    "1_stamps_from_10s.mkv": Right(),
    **{f"2_late.{suffix}": Right(offset=4.0) for suffix in ("mp4", "mkv", "ts")},
    **{f"3_{name}.ts": Right(JOINED) for name in ("back_50s", "over_each_other", "inside")},
    "4_segments.ts": Right((*FIRST[:2], ("zoom in", 24.0))),
    # Two frames a second, every one half a second late: windows are four times as long.
    "4_short_segments.ts": Right(near=2.0),
    **{f"5_one_double_stamp.{suffix}": Right(DOUBLE) for suffix in ("mkv", "webm")},
    **{f"6_exif.{suffix}": Right((("pan right", 2.0),)) for suffix in ("avi", "mov")},
    "onefps.mp4": Right((("static", 60.0), ("pan right", 120.0)), near=4.0),
    **{f"r{rate}.mp4": Right() for rate in ("12.5", "14.985", "119.88")},
    "12_timecode.mov": Right(timecode="10:20:30:05"),
    "13_bframes.avi": Right(),
}
OUTPUTS = {
    "7": r"hint: name a video without @",
    "8": r"/9",  # videos, .MTS among them
    "9": r"320x180 \(4\)",  # columns of spans in milliseconds and of splits are read
    "10": r'MEDIA_URL="../../second.mp4\nsrc="../../second.mp4\ntarget_url": "../../second.mp4',
    "11": r'frameDuration="1/25s"',
    "12": r"10:20:30:05 10:20:40",
    "14": r"23:59:59:2. 00:00:10:0.",
    "15": r"second.vidattn.json\nsecond.vidattn.srt",
    "16": r"2 bad rows\n",
    "17": r"tilt up .* 1 of 1",
    "18": r"labels +static|use +may be used",
    "19": r"/2,|2 videos to train",
}
"""By the number of a part of commands.sh, a pattern in what it prints."""


def faults(timeline: vidattn.Timeline, right: Right) -> list[str]:
    """What is wrong with the timeline of a film."""
    found = [(s.label, s.stop) for s in timeline.segments]
    same = [label for label, _ in found] == [label for label, _ in right.spans]
    pairs = zip(found, right.spans, strict=same)
    checks = {
        f"segments {found}": same and all(abs(a - b) <= right.near for (_, a), (_, b) in pairs),
        f"unreadable {timeline.unreadable}": not timeline.unreadable,
        f"offset {timeline.input.start_offset}": abs(
            (timeline.input.start_offset or 0.0) - right.offset
        )
        < 0.05,
        f"timecode {timeline.input.timecode}": timeline.input.timecode == right.timecode,
    }
    return [text for text, good in checks.items() if not good]


def check_films(folder: Path) -> int:
    """Print a line for every film; how many are wrong."""
    classifier, wrong = vidattn.load("motion-tiny"), 0
    for name, right in FILMS.items():
        try:
            found = faults(vidattn.segment(folder / name, classifier), right)
        except vidattn.VideoError as error:
            found = [error.message]
        print(f"{'WRONG' if found else 'right'}  {name}  {'; '.join(found)}", flush=True)
        wrong += bool(found)
    return wrong


def check_commands(script: Path, folder: Path) -> int:
    """Run the command lines beside the films, and print a line for each; how many are wrong."""
    text = script.read_text(encoding="utf-8")
    old = re.search(r"vidattn timeline (\S+) --diff (\S+)", text)
    if old is not None:  # the option has become a command
        text = text.replace(old.group(), f"vidattn compare {old[2]} {old[1]} --differences")
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, text=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    parts = re.split(r"^-- (\d+) ", done.stdout, flags=re.MULTILINE)[1:]
    outputs, wrong = dict(zip(parts[::2], parts[1::2], strict=True)), 0
    for number, pattern in OUTPUTS.items():
        output = outputs.get(number, "")
        good = bool(output and re.search(pattern, output)) and "Traceback" not in output
        title, *lines = output.splitlines() or ["not run"]
        shown = f": {' | '.join(lines)}" * (not good)
        print(f"{'right' if good else 'WRONG'}  {number} {title}{shown}", flush=True)
        wrong += not good
    return wrong


def main() -> int:
    """Make the films, check them and the command lines; 1 when one is wrong."""
    scripts, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if not all((folder / name).exists() for name in FILMS):
        subprocess.run(["bash", scripts / "films.sh", folder], check=True)
        for name in ("double_stamp.py", "side_data.py"):
            subprocess.run([sys.executable, scripts / name, folder], check=True)
    wrong = check_films(folder) + check_commands(scripts / "commands.sh", folder)
    print(f"{wrong} of {len(FILMS) + len(OUTPUTS)} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
