"""Fig. 5, right: frames of a clip that is spread over a video of 16, in which two events happen.

python examples/paper/clip_length.py
"""

from experiment import Setting, main, small
from long_videos import learn
from tasks import ORDER, Task

VIDEO = 16


def make(tasks: list[Task]) -> list[Setting]:
    """Each number of frames with each scheme."""
    return [
        Setting(scheme, task, small(scheme, task, frames=frames, size=8), frames, 0, VIDEO,
                way="spread")
        for task in tasks
        for frames in (2, 4, 8, 16)
        for scheme in ("space", "divided")
    ]  # fmt: skip


if __name__ == "__main__":
    main("clip_length", __doc__, make, (ORDER,), "frames", learn)
