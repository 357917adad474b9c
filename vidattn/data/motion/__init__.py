"""The procedural dataset of camera motions."""
