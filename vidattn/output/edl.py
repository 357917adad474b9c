"""Timelines as an edit decision list, CMX 3600: an event for each segment.

Events are of picture and sound where the film has both. Out-points are exclusive. Source and record
times are the same, so that the list lays every piece where it lies in the film; background is left
out.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

from vidattn.output.timecode import place_segments, timecode_clock
from vidattn.output.xml import escape_text, video_title
from vidattn.timeline import Timeline

REEL_LETTERS = 8
COLOURS = ("RED", "GREEN", "BLUE", "CYAN", "MAGENTA", "YELLOW")
"""Of the markers; a label keeps its own."""


def edl(timeline: Timeline) -> str:
    """A cut list at the film's rate, with labels as comments and as markers (LOC).

    The reel is the name of the file in 8 capitals. Raises UsageError when the setting
    `start_timecode` of the timeline is none at this rate.
    """
    clock = timecode_clock(timeline)
    reel, channels = reel_name(timeline.source), "AA/V" if timeline.input.audio else "V"
    lines = [
        f"TITLE: {escape_text(video_title(timeline.source))}",
        f"FCM: {'DROP FRAME' if clock.drop else 'NON-DROP FRAME'}",
        "",
    ]
    for number, event in enumerate(place_segments(timeline, clock.fps), start=1):
        first, after = (clock.name(clock.start + at) for at in (event.first, event.after))
        label = escape_text(event.segment.label)
        colour = COLOURS[(event.segment.label_id or 0) % len(COLOURS)]
        lines += [
            f"{number:03d}  {reel:<{REEL_LETTERS}} {channels:<5} C        "
            f"{first} {after} {first} {after}",
            f"* FROM CLIP NAME: {escape_text(PurePath(timeline.source).name)}",
            # Readers know markers by colons alone; how to count is said at the top (FCM).
            f"* LOC: {first.replace(';', ':')} {colour:<7} {label}",
            f"* COMMENT: {label} ({event.segment.score * 100:.0f}%)",
        ]
    return "\n".join(lines) + "\n"


def reel_name(source: str) -> str:
    """A reel name as CMX 3600 allows it: up to 8 capital letters and digits."""
    plain = unicodedata.normalize("NFKD", video_title(source)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z0-9]", "", plain.upper())[:REEL_LETTERS] or "AX"
