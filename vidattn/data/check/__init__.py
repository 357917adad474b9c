"""Checks of a dataset, and of one video of it."""
