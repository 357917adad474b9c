"""Fig. 4: the number of training videos, with attention and with convolutions.

python examples/paper/training_videos.py
"""

from experiment import Setting, main, small
from networks import small_network
from tasks import ORDER, Task

VIDEOS = (32, 128, 512)


def make(tasks: list[Task]) -> list[Setting]:
    """Divided attention and I3D for each number of videos."""
    return [
        Setting(name, task, model, videos, videos)
        for task in tasks
        for videos in VIDEOS
        for name, model in (
            ("divided", small("divided", task)),
            ("i3d", small_network("i3d", task)),
        )
    ]


if __name__ == "__main__":
    main("training_videos", __doc__, make, (ORDER,), "training videos")
