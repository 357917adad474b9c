"""Training: runs of a recipe, with checkpoints, validation and resuming."""
