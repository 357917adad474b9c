"""Segments that people annotated: tables, subtitles, ELAN, Label Studio."""
