"""Models applied to videos: window by window, as a timeline, and explained."""
