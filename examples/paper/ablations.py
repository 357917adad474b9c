"""Order of divided attention, number of heads, and windows of local-global attention.

    python examples/paper/ablations.py

The paper gives the two other orders (0.5 and 0.4 points less), and leaves out heads and windows.
`halves` attends within the left and the right half instead of the four quarters, `brief` within
quarters of half the frames; `local` and `global` are one of the two steps alone.
"""

from dataclasses import replace

from experiment import Setting, main, small
from tasks import MOTION, Task

from vidattn.models.timesformer import SCHEMES

LOCAL, GLOBAL = SCHEMES["local-global"]
WINDOWS = {
    "local": (replace(LOCAL, cls=True, out=False),),
    "global": (GLOBAL,),
    "halves": (
        replace(LOCAL, groups="(b w2) (t h w) d", grid="b t h (w2 w) d", split=("w",)),
        GLOBAL,
    ),
    "brief": (
        replace(
            LOCAL,
            groups="(b t2 h2 w2) (t h w) d",
            grid="b (t2 t) (h2 h) (w2 w) d",
            split=("t", "h", "w"),
        ),
        GLOBAL,
    ),
}
SCHEMES |= WINDOWS


def make(tasks: list[Task]) -> list[Setting]:
    """Each choice."""
    settings = []
    for task in tasks:
        orders = ("time-space", "space-time", "parallel")
        settings += [Setting(o, task, small("divided", task, order=o)) for o in orders]
        for heads in (1, 2, 8):
            settings.append(Setting(f"heads {heads}", task, small("divided", task, heads=heads)))
        for scheme in ("local-global", *WINDOWS):
            settings.append(Setting(scheme, task, small(scheme, task)))
    return settings


if __name__ == "__main__":
    main("ablations", __doc__, make, (MOTION,))
