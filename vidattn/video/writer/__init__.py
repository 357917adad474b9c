"""Writing video and sound, in a process of its own."""
