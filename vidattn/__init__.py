"""Know what happens in a long video, and when.

    timeline = vidattn.segment("movie.mp4", "motion-tiny")     # or classify: one for the file
    timeline.segments, timeline.scores, timeline.labels
    vidattn.write(timeline, "movie.srt")

Names are resolved on first use: importing the package loads neither torch nor a decoder.
"""

from vidattn.io.lazy import lazy_names

__version__ = "0.1.0"
__all__, __getattr__, __dir__ = lazy_names(__name__, __file__, "__version__")
