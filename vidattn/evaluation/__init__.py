"""Evaluation: classification on datasets, timelines against ground truth, and speed."""
