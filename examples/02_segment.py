"""What happens when? The timeline of a video, on screen and as subtitles."""

import sample_video

import vidattn

path = sample_video.write("video.mp4")
classifier = vidattn.load("motion-tiny")
timeline = vidattn.segment(path, classifier, overlap=0.5)

for segment in timeline.segments:
    window = segment.window
    print(f"{window.start:5.1f} - {window.stop:5.1f} s  {segment.label:10} {segment.score:.0%}")
print("wrote", vidattn.write(timeline, "video.vidattn.srt"))
