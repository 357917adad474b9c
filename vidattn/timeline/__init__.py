"""Scores of windows over time, and the segments that come of them."""

from vidattn.timeline.decoding import Decoding
from vidattn.timeline.document import SCHEMA
from vidattn.timeline.segments import BACKGROUND, Segment
from vidattn.timeline.timeline import Timeline
from vidattn.timeline.values import Unreadable

__all__ = ["BACKGROUND", "SCHEMA", "Decoding", "Segment", "Timeline", "Unreadable"]
