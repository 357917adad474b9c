"""Timelines as an edit decision list, CMX 3600: an event per segment but background.

Events are of video and audio if the file has both. Out-points are exclusive. Source and record
times are equal, so that the list puts every segment at its time in the video.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

from vidattn.output.timecode import place_segments, timecode_clock
from vidattn.output.xml import escape_text, video_title
from vidattn.timeline import Timeline

REEL_LETTERS = 8
COLORS = ("RED", "GREEN", "BLUE", "CYAN", "MAGENTA", "YELLOW")
"""Of markers, by label."""


def edl(timeline: Timeline) -> str:
    """A cut list at the rate of the video, with labels as comments and as markers (LOC).

    The reel is the name of the file in 8 capitals. Raises UsageError if the start timecode of the
    timeline is impossible at the rate of the video.
    """
    clock = timecode_clock(timeline)
    reel, channels = reel_name(timeline.source), "AA/V" if timeline.input.audio else "V"
    lines = [
        f"TITLE: {escape_text(video_title(timeline.source))}",
        f"FCM: {'DROP FRAME' if clock.drop else 'NON-DROP FRAME'}",
        "",
    ]
    for number, placed in enumerate(place_segments(timeline, clock.fps), start=1):
        first, after = (clock.name(clock.start + at) for at in (placed.first, placed.after))
        label = escape_text(placed.segment.label)
        color = COLORS[(placed.segment.label_id or 0) % len(COLORS)]
        rate = [f"* FRAME RATE: {float(clock.fps):.6g}"] if number == 1 else []
        lines += [
            f"{number:03d}  {reel:<{REEL_LETTERS}} {channels:<5} C        "
            f"{first} {after} {first} {after}",
            f"* FROM CLIP NAME: {escape_text(PurePath(timeline.source).name)}",
            # Readers find markers by colons alone; drop-frame is stated at the top (FCM).
            f"* LOC: {first.replace(';', ':')} {color:<7} {label}",
            f"* COMMENT: {label} ({placed.segment.score * 100:.0f}%)",
            *rate,  # readers of EDL take no comment before the first event
        ]
    return "\n".join(lines) + "\n"


def reel_name(source: str) -> str:
    """A reel name as CMX 3600 allows it: up to 8 capital letters and digits."""
    plain = unicodedata.normalize("NFKD", video_title(source)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z0-9]", "", plain.upper())[:REEL_LETTERS] or "AX"
