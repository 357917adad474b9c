"""Files: read, written whole or not at all, locked; JSON, npz and counted text."""
