"""One reader per decoding library."""
