"""Table 4: learned positions of patches and frames, or none.

python examples/paper/positions.py
"""

from experiment import Setting, main, small
from tasks import APPEARANCE, ORDER, Task


def make(tasks: list[Task]) -> list[Setting]:
    """Each kind of position embedding on each task."""
    return [
        Setting(positions, task, small("divided", task, frames=8, size=8, positions=positions))
        for task in tasks
        for positions in ("none", "space", "space-time")
    ]


if __name__ == "__main__":
    main("positions", __doc__, make, (APPEARANCE, ORDER))
