"""How right a model is: metrics, datasets, timelines against ground truth, benchmarks."""
