"""A training run from within: what it learns from and with, and what comes of it."""
