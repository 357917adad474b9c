"""How do I read exact frames with their true times? Any order, any size, one process away."""

import sample_video

import vidattn

with vidattn.open_video(sample_video.write("video.mp4"), short_side=64) as video:
    frames = video.read([0, 100, 50])  # uint8 [3, 64, 113, 3], upright RGB
    print(frames.shape, "at", [round(float(video.times[i]), 3) for i in (0, 100, 50)], "s")
    print(f"{video.frames} frames, {video.duration:.3f} s, read by {video.reader}")
    for index, frame in video.stream(range(0, video.frames, 100)):  # one pass, bounded memory
        print(index, frame.mean().round(1))
