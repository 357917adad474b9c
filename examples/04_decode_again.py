"""How do I try another threshold? From the saved scores, without video or model."""

from pathlib import Path

import sample_video

import vidattn

classifier = vidattn.load("motion-tiny")
vidattn.write(vidattn.segment(sample_video.write("video.mp4"), classifier), "video.vidattn.json")

saved = vidattn.Timeline.from_json(Path("video.vidattn.json").read_text(encoding="utf-8"))
for threshold in (0.0, 0.5, 0.9):
    again = saved.with_decoding(threshold=threshold, min_duration=0.5)
    print(threshold, [segment.label for segment in again.segments])
