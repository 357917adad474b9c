"""Datasets by name, and datasets of one's own: folders, lists, tables."""
