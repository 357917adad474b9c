"""What a model says of a video: window by window, as a timeline, and why."""
