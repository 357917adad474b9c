"""Reading video: `open_video(path)` gives exact upright RGB frames by number, times from PTS.

Decoders never run in the calling process: a supervised child does the native work, so that a
hostile file can neither crash, hang nor bloat the program that reads it.
"""

from vidattn.io.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
