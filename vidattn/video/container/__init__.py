"""What a container says of its frames: tables, packets, codecs, seek points."""
