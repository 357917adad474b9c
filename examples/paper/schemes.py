"""Table 1: attention schemes where what is shown suffices, and where only motion tells.

python examples/paper/schemes.py
"""

from experiment import Setting, main, small
from tasks import APPEARANCE, MOTION, Task

SCHEMES = ("space", "time", "joint", "divided", "local-global", "axial")
"""Those of the table and, which it leaves out, time alone."""


def make(tasks: list[Task]) -> list[Setting]:
    """Each scheme on each task."""
    return [Setting(scheme, task, small(scheme, task)) for task in tasks for scheme in SCHEMES]


if __name__ == "__main__":
    main("schemes", __doc__, make, (APPEARANCE, MOTION))
