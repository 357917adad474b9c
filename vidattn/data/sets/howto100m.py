"""Layout: HowTo100M as a classification of tasks in long videos (arXiv:2102.05095, Sec. 4.4).

What is looked for below the folder of the set, first found first taken:

1. lists {train,val}.csv of `video_id label` or `path label`, with class numbers or names;
2. the official HowTo100M_v1.csv (video_id, category_1, category_2, rank, task_id), with the names
   of the tasks in task_ids.csv if it is there: tasks with 100 videos or more are the classes, as in
   the paper, and a share of each is held back, since the split of the paper has no published list;
3. class folders in train/ and val/.

Videos are <video_id>.mp4 (webm, mkv ...) anywhere below. Class numbers of published weights have no
published names; lists that count as they do give classes called "class 0" to "class 1058".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vidattn.data.labeled_dataset import VALIDATION_SHARE, LabeledDataset, Split, split_validation
from vidattn.data.sets.csv_list import split_lists
from vidattn.data.sets.lists import first_file, open_otherwise
from vidattn.data.sets.video_index import VideoKey, matched
from vidattn.data.tabular import RowErrors, read_lines, read_rows
from vidattn.errors import DataError

LAYOUTS = (
    "HowTo100M_v1.csv [and task_ids.csv] with <video_id>.mp4 anywhere below; or lists "
    "{train,val}.csv of `video_id label` or `path label`; or train/<class>/ and val/<class>/"
)
TASK = re.compile(r"\d{1,18}")
FEWEST = 100
"""Videos that a task needs to be a class (arXiv:2102.05095, Sec. 4.4)."""


def open_howto100m(name: str, root: Path, split: Split, max_missing: float) -> LabeledDataset:
    """One half below `root`.

    max_missing: share of listed videos that may be missing. Raises DataError when none of the
    layouts is there, more files are missing, or rows are malformed.
    """
    path = first_file(root, ("HowTo100M_v1.csv",))
    if path is None or split_lists(root):
        return open_otherwise(name, root, split, None, max_missing, LAYOUTS)
    tasks = _tasks(path)
    wanted = [
        VideoKey((v,), number) for number, videos in enumerate(tasks.values()) for v in videos
    ]
    back = split_validation([video.names[0] for video in wanted], [video.label for video in wanted])
    chosen = [v for v, b in zip(wanted, back, strict=True) if b == (split == "val")]
    note = (
        f"{path}: {len(tasks)} tasks have {FEWEST} videos or more; {VALIDATION_SHARE:.0%} of each "
        f"is for validation, by a hash of the ids: {back.count(False)} to train, "
        f"{back.count(True)} to validate"
    )
    frame = LabeledDataset(name, root, split, _names(root, tuple(tasks)), (), (note,))
    return matched(chosen, frame, path, max_missing)


def _tasks(path: Path) -> dict[str, list[str]]:
    """Task -> ids of its videos, tasks by number; a video counts for the task that lists it first.

    Raises DataError when a row has no video or no task, or no task has enough videos.
    """
    problems = RowErrors(path, hint="columns are video_id, category_1, category_2, rank, task_id")
    task_of: dict[str, str] = {}
    for row in read_rows(path):
        video, task = row.fields.get("youtube_id", ""), row.fields.get("label", "")
        if not video or not TASK.fullmatch(task):
            problems.add(row.line, "no video_id, or a task_id that is no number")
        else:
            task_of.setdefault(video, task)
    problems.raise_if_any()
    videos: dict[str, list[str]] = {task: [] for task in sorted(set(task_of.values()), key=int)}
    for video, task in task_of.items():
        videos[task].append(video)
    large = {task: ids for task, ids in videos.items() if len(ids) >= FEWEST}
    if not large:
        raise DataError(f"{path}: no task has {FEWEST} videos")
    return large


def _names(root: Path, tasks: Sequence[str]) -> tuple[str, ...]:
    """What the tasks are called, or "task 123"; lines of task_ids.csv are a number and a name."""
    path = first_file(root, ("task_ids.csv",))
    lines = read_lines(path) if path else []
    parts = [re.split(r"[\t,;]", line, maxsplit=1) for _, line in lines]
    names = {p[0].strip(): p[1].strip().strip('"') for p in parts if len(p) == 2}
    # Two tasks of one name stay two classes.
    twice = {name for name, count in Counter(names.get(t) for t in tasks).items() if count > 1}
    return tuple(
        names[task] if names.get(task) and names[task] not in twice else f"task {task}"
        for task in tasks
    )
