"""What a person sees: progress, timelines, tracks, metrics."""
