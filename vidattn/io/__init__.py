"""Files, locks, JSON, npz, digests, lazy imports and counted nouns."""
