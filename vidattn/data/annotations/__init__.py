"""Annotations of long videos: one file for each format, and the table of formats."""
