"""Fig. 5, left: pixels of a side, in patches of 4 pixels.

python examples/paper/resolution.py
"""

from experiment import Setting, main, small
from tasks import MOTION, Task


def make(tasks: list[Task]) -> list[Setting]:
    """Each size."""
    return [
        Setting("divided", task, small("divided", task, size=size), size)
        for task in tasks
        for size in (4, 8, 16, 24)
    ]


if __name__ == "__main__":
    main("resolution", __doc__, make, (MOTION,), "pixels")
