"""Decoding in a supervised process of its own."""
