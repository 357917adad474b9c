"""STAM: frames against accuracy, beside the mean over frames, on videos of 16 frames.

python examples/paper/stam_frames.py
"""

from experiment import Setting, main, small
from long_videos import learn
from networks import small_stam
from tasks import ORDER, Task

VIDEO = 16


def make(tasks: list[Task]) -> list[Setting]:
    """STAM, and the same frames without a transformer over time."""
    return [
        Setting(name, task, model, frames, 0, VIDEO, way="spread")
        for task in tasks
        for frames in (2, 4, 8, 16)
        for name, model in (
            ("stam", small_stam(task, frames, 8)),
            ("mean", small("space", task, frames=frames, size=8)),
        )
    ]


if __name__ == "__main__":
    main("stam_frames", __doc__, make, (ORDER,), "frames", learn)
