"""What does a whole file show? One prediction, and how much of the file the model saw."""

import sample_video

import vidattn

path = sample_video.write("video.mp4")
classifier = vidattn.load("motion-tiny")
timeline = vidattn.classify(path, classifier)

for label, score in timeline.top(3):
    print(f"{label:10} {score:.1%}")
print(f"saw {timeline.coverage:.0%} of {timeline.duration:.1f} s")
