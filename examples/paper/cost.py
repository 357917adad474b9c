"""Table 2: accuracy against multiply-adds, with attention and with convolutions.

    python examples/paper/cost.py

The csv has the parameters, the multiply-adds of a clip and the processor time of each training. All
take as many steps over the same videos.
"""

from experiment import Setting, main, small
from networks import small_network, small_stam
from tasks import APPEARANCE, MOTION, Task

from vidattn.models.flops import count_macs


def make(tasks: list[Task]) -> list[Setting]:
    """Each model, at the place of its cost."""
    return [
        Setting(f"{name}, {count_macs(model) / 1e6:.1f} M", task, model, count_macs(model) / 1e6)
        for task in tasks
        for name, model in (
            *((scheme, small(scheme, task)) for scheme in ("space", "joint", "divided")),
            ("stam", small_stam(task)),
            *((name, small_network(name, task)) for name in ("i3d", "slowfast", "x3d", "tsm")),
        )
    ]


if __name__ == "__main__":
    main("cost", __doc__, make, (APPEARANCE, MOTION), "M multiply-adds of a clip")
