"""Layout: HowTo100M as a classification of tasks in long videos (arXiv:2102.05095, Sec. 4.4).

The first of these below the folder of the dataset:

1. lists {train,val}.csv of `video_id label` or `path label`, with class numbers or names;
2. the official HowTo100M_v1.csv (video_id, category_1, category_2, rank, task_id), with the names
   of the tasks in task_ids.csv if it is there: tasks with 100 videos or more are the classes, as in
   the paper, and a share of each is for validation, as the split of the paper is not published;
3. class folders in train/ and val/.

Videos are <video_id>.mp4 (webm, mkv ...) anywhere below. Class numbers of published weights have no
published names; lists with those numbers give classes called "class 0" to "class 1058".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from vidattn.data.labeled_dataset import VALIDATION_SHARE, LabeledDataset, split_validation
from vidattn.data.sets.csv_list import find_lists
from vidattn.data.sets.named_dataset import NamedDataset
from vidattn.data.sets.video_index import VideoKey
from vidattn.data.tabular import number_rows, parse_rows, read_lines, read_rows
from vidattn.errors import DataError

LAYOUTS = (
    "HowTo100M_v1.csv [and task_ids.csv] with <video_id>.mp4 anywhere below; or lists "
    "{train,val}.csv of `video_id label` or `path label`; or train/<class>/ and val/<class>/"
)
TASK = re.compile(r"\d{1,18}")
MIN_VIDEOS = 100
"""Videos that a task needs to be a class (arXiv:2102.05095, Sec. 4.4)."""


def open_howto100m(dataset: NamedDataset) -> LabeledDataset:
    """Open a split. Raises DataError."""
    path = dataset.find_file(("HowTo100M_v1.csv",))
    if path is None or find_lists(dataset.root):
        return dataset.open_other_layout(None, LAYOUTS)
    tasks = _read_tasks(path)
    videos = [VideoKey((v,), number) for number, ids in enumerate(tasks.values()) for v in ids]
    chosen = split_validation([v.names[0] for v in videos], [v.label for v in videos])
    note = (
        f"{path}: {len(tasks)} tasks have {MIN_VIDEOS} videos or more; {VALIDATION_SHARE:.0%} of "
        f"each is for validation, by a hash of the ids: {chosen.count(False)} to train, "
        f"{chosen.count(True)} to validate"
    )
    wanted = [v for v, val in zip(videos, chosen, strict=True) if val == (dataset.split == "val")]
    return dataset.match(wanted, _name_tasks(dataset, tuple(tasks)), path, notes=(note,))


def _read_tasks(path: Path) -> dict[str, list[str]]:
    """Task -> ids of its videos, tasks by number; a video counts for the task that lists it first.

    Raises DataError when a row has no video or no task, or no task has enough videos.
    """

    def parse(fields: Mapping[str, str]) -> tuple[str, str]:
        video, task = fields.get("youtube_id", ""), fields.get("label", "")
        if not video or not TASK.fullmatch(task):
            raise ValueError("no video_id, or a task_id that is no number")
        return video, task

    hint = "columns are video_id, category_1, category_2, rank, task_id"
    task_of: dict[str, str] = {}
    for video, task in parse_rows(path, number_rows(read_rows(path)), parse, hint=hint):
        task_of.setdefault(video, task)
    videos: dict[str, list[str]] = {task: [] for task in sorted(set(task_of.values()), key=int)}
    for video, task in task_of.items():
        videos[task].append(video)
    large = {task: ids for task, ids in videos.items() if len(ids) >= MIN_VIDEOS}
    if not large:
        raise DataError(f"{path}: no task has {MIN_VIDEOS} videos")
    return large


def _name_tasks(dataset: NamedDataset, tasks: Sequence[str]) -> tuple[str, ...]:
    """The names of tasks, or "task 123"; lines of task_ids.csv are a number and a name."""
    path = dataset.find_file(("task_ids.csv",))
    lines = read_lines(path) if path else []
    parts = [re.split(r"[\t,;]", line, maxsplit=1) for _, line in lines]
    names = {p[0].strip(): p[1].strip().strip('"') for p in parts if len(p) == 2}
    # Two tasks of one name stay two classes.
    counts = Counter(names.get(task) for task in tasks)
    return tuple(
        names[task] if names.get(task) and counts[names[task]] == 1 else f"task {task}"
        for task in tasks
    )
