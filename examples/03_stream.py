"""How do I react while a long video is still being read? Events arrive as windows close."""

import sample_video

import vidattn
from vidattn.inference.stream import Scored

classifier = vidattn.load("motion-tiny")
for event in vidattn.stream(sample_video.write("video.mp4"), classifier, stride=1.0):
    if isinstance(event, Scored) and event.scores is not None:
        best = int(event.scores.argmax())
        if event.scores[best] > 0.5:
            print(f"{event.window.start:5.1f} s: {classifier.labels[best]}")
