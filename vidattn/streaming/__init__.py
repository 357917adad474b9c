"""Hours of film through a model: windows in order, what they share computed once, scores kept."""
