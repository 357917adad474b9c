"""What is wrong with a dataset, or with one video of it."""
