"""Many inputs in one command."""
