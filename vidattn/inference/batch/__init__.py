"""Batch runs: many videos in one call, as events, with results on disk that survive a kill."""
