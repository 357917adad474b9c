"""From the scores of windows to labels over time: fused, smoothed, decided, joined."""
