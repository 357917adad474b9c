"""Know what happens in a long video, and when."""

__version__ = "0.1.0"
