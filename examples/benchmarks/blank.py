"""How many blank videos `classify --blank` finds, and how many others it loses, at new sites.

    python examples/benchmarks/blank.py FOLDER [--sites 6] [--videos 16]

Draws videos of camera traps into FOLDER (examples/camera_trap.py) unless they are there: half are
blank, with wind, clouds and noise, in the others a deer or a fox walks by. For each site in turn a
model is taught on the videos of all others, by optical flow, and tells the risk of each video of
the site; the rows say how many videos with an animal would be left out at a loss, and how many of
the blank ones.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import camera_trap

import vidattn
from vidattn.config.run_options import TeachOptions
from vidattn.evaluation.metrics import exact_interval
from vidattn.inference.events import Finished
from vidattn.inference.whole_video import stream_blank

LOSSES = (0.02, 0.05, 0.1, 0.2)


def read_list(folder: Path, sites: int, videos: int) -> list[list[str]]:
    """Path, label and site of all videos, which are drawn if they are not there."""
    names = [f"site{n:02d}" for n in range(sites)]
    place = folder / "labels.csv"
    if not place.exists():
        camera_trap.draw_labeled(folder, names, videos)
    return [line.split(",") for line in place.read_text(encoding="utf-8").splitlines()[1:]]


def judge_site(folder: Path, rows: list[list[str]], site: str) -> Iterator[tuple[bool, float]]:
    """Whether each video of a site is blank, and its risk, by a model taught on the other sites."""
    others = folder / f"without-{site}.csv"
    lines = [",".join(row) for row in rows if row[2] != site]
    others.write_text("\n".join(["path,label,group", *lines]) + "\n", encoding="utf-8")
    taught = vidattn.teach(others, None, "motion-tiny", options=TeachOptions(flow="on"))
    print(f"without {site}: {taught.report['head']}", file=sys.stderr, flush=True)
    for path, label, own in rows:
        if own == site:
            *_, last = stream_blank(str(folder / path), taught.classifier, 1.0)
            assert isinstance(last, Finished)
            assert last.timeline.blank is not None
            yield label == "blank", last.timeline.blank.risk


def main() -> None:
    """Print a row for each loss."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sites", type=int, default=6)
    parser.add_argument("--videos", type=int, default=16, help="of each site")
    given = parser.parse_args()
    rows = read_list(given.folder, given.sites, given.videos)
    sites = sorted({row[2] for row in rows})
    found = [pair for site in sites for pair in judge_site(given.folder, rows, site)]
    blank, risk = np.array([one for one, _ in found]), np.array([one for _, one in found])
    print(f"{len(found)} videos of {len(sites)} sites, {blank.sum()} of them blank")
    for loss in LOSSES:
        lost, removed = int((risk[~blank] <= loss).sum()), int((risk[blank] <= loss).sum())
        low, high = exact_interval(lost, int((~blank).sum()))
        print(
            f"--blank {loss:.0%}: lost {lost} of {(~blank).sum()} ({low:.1%} to {high:.1%}), left "
            f"out {removed} of {blank.sum()} blank ones ({removed / blank.sum():.0%})"
        )


if __name__ == "__main__":
    main()
