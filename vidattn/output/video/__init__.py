"""Videos with something drawn on them: labels, heatmaps."""
