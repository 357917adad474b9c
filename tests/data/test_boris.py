"""Observations of BORIS: read from projects and exports, written, and read again."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import ask_another, two_windows
from vidattn import output
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.data.sets import open_samples
from vidattn.errors import DataError
from vidattn.timeline import Timeline
from vidattn.types import Settings, VideoInfo, Window

BEHAVIORS = {"groom": "State event", "eat": "State event", "call": "Point event"}


def project(events: list[list[Any]], media: dict[str, float]) -> dict[str, Any]:
    observation = {
        "file": {"1": list(media), "2": []},
        "type": "MEDIA",
        "time offset": 0.0,
        "events": events,
        "media_info": {"length": media},
    }
    behaviors = {
        str(i): {"code": code, "type": kind} for i, (code, kind) in enumerate(BEHAVIORS.items())
    }
    return {"behaviors_conf": behaviors, "observations": {"day 1": observation}}


def write(path: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


EVENTS = [
    [1.0, "anna", "groom", "face|None", "", 25],
    [1.5, "bert", "eat", "", "", 37],
    [3.0, "anna", "groom", "face|None", "", 75],
    [4.0, "anna", "call", "", "", 100],
    [5.0, "bert", "eat", "", "", 125],
    [6.0, "bert", "eat", "", "", 150],
]
SPANS = ((Window(1.0, 3.0), "groom [face]"), (Window(1.5, 5.0), "eat"), (Window(3.5, 4.5), "call"))


@pytest.mark.parametrize("name", ["lab.boris", "lab.boris.gz"])
def test_a_project_is_ground_truth(tmp_path: Path, name: str) -> None:
    found = read_ground_truth(write(tmp_path / name, project(EVENTS, {"cage/a.mp4": 8.0})))
    (video,) = found.videos
    assert (video.name, video.duration, video.spans) == ("cage/a.mp4", 8.0, SPANS)
    assert "1 point event taken for 1 s each" in found.notes[0]
    assert "1 state event without end" in found.notes[1]


def test_subjects_are_areas_of_ground_truth_and_of_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "a.boris", project(EVENTS, {"a.mp4": 10.0}))
    (video,) = read_ground_truth(path).videos
    assert video.areas == {"anna": (SPANS[0], SPANS[2]), "bert": (SPANS[1],)}
    (tmp_path / "a.mp4").touch()
    items = open_samples(str(path)).items
    assert [item.roi for item in items] == ["anna", "anna", "bert"]


def test_an_observation_of_several_videos_is_shared_among_them(tmp_path: Path) -> None:
    events = [[1.0, "", "eat", "", "", 0], [7.0, "", "eat", "", "", 0]]
    path = write(tmp_path / "lab.boris", project(events, {"a.mp4": 5.0, "b.mp4": 5.0}))
    assert [(v.name, v.spans) for v in read_ground_truth(path).videos] == [
        ("a.mp4", ((Window(1, 5), "eat"),)),
        ("b.mp4", ((Window(0, 2), "eat"),)),
    ]


AGGREGATED = """Observation id,Observation date,Subject,Behavior,Behavioral category,Modifier #1,\
Modifier #2,Behavior type,Start (s),Stop (s),Duration (s),Media file name,Comment start
day 1,2024-05-01,anna,groom,,face,None,STATE,1.0,3.0,2.0,cage/a.mp4,
day 1,2024-05-01,bert,eat,,None,None,STATE,1.5,5.0,3.5,cage/a.mp4,
day 1,2024-05-01,anna,call,,None,None,POINT,4.0,4.0,NA,cage/a.mp4,
"""
TABULAR = """Observation id\tday 1

Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tModifiers\tComment\tStatus
1.0\tcage/a.mp4\t8.0\t25\tanna\tgroom\tface|None\t\tSTART
1.5\tcage/a.mp4\t8.0\t25\tbert\teat\t\t\tSTART
3.0\tcage/a.mp4\t8.0\t25\tanna\tgroom\tface|None\t\tSTOP
4.0\tcage/a.mp4\t8.0\t25\tanna\tcall\t\t\tPOINT
5.0\tcage/a.mp4\t8.0\t25\tbert\teat\t\t\tSTOP
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.csv", AGGREGATED),
        ("e.tsv", TABULAR),
        ("semicolons.csv", re.sub(r"(?<=\d)\.(?=\d)", ",", AGGREGATED.replace(",", ";"))),
    ],
)
def test_exported_events_are_ground_truth(tmp_path: Path, name: str, text: str) -> None:
    (video,) = read_ground_truth(write(tmp_path / name, text)).videos
    assert (video.name, video.spans) == ("cage/a.mp4", SPANS)


def test_modifiers_keep_their_commas(tmp_path: Path) -> None:
    text = TABULAR.replace("face|None", "1,2")
    (video,) = read_ground_truth(write(tmp_path / "e.tsv", text)).videos
    assert "groom [1,2]" in {label for _, label in video.spans}


def test_an_export_of_an_observation_of_several_videos_is_refused(tmp_path: Path) -> None:
    text = AGGREGATED.replace("4.0,4.0,NA,cage/a.mp4", "4.0,4.0,NA,cage/b.mp4")
    with pytest.raises(DataError, match="has several videos"):
        read_ground_truth(write(tmp_path / "e.csv", text))


@pytest.mark.parametrize("behaviors", [None, {}])
def test_a_behavior_that_the_project_does_not_know_is_named(
    tmp_path: Path, behaviors: dict[str, Any] | None
) -> None:
    content = {**project(EVENTS, {"a.mp4": 8.0}), "behaviors_conf": behaviors}
    with pytest.raises(DataError, match="observation day 1: 'groom' is none of the project's"):
        read_ground_truth(write(tmp_path / "lab.boris", content))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"behaviors_conf": {}, "observations": {"a": 1}}']
)
def test_a_broken_project_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"lab\.boris"):
        read_ground_truth(write(tmp_path / "lab.boris", content))


def labeled(**changes: Any) -> Timeline:
    """Groomed and ate for two seconds each, of 25 frames a second."""
    return two_windows(
        labels=("groom [face|long]", "eat"),
        scores=np.array([[0.9, 0.1], [0.2, 0.8]]),
        input=VideoInfo(fps=25, frames=100, audio=False),  # type: ignore[arg-type]
        duration=4.0,
        **changes,
    )


def test_written_events_are_read_again_with_modifiers(tmp_path: Path) -> None:
    path = output.write(labeled(settings=Settings(roi="left")), tmp_path / "a.boris")
    document = json.loads(path.read_bytes())
    events = document["observations"]["a"]["events"]
    assert events[0][:4] == [0.0, "left", "groom", "face|long"]
    assert [event[2] for event in events] == ["groom", "groom", "eat", "eat"]
    groom, eat = document["behaviors_conf"].values()
    assert [one["values"] for one in groom["modifiers"].values()] == [["face"], ["long"]]
    assert (groom["type"], eat["modifiers"]) == ("State event", {})
    (video,) = read_ground_truth(path).videos
    assert video.spans == ((Window(0, 2), "groom [face|long]"), (Window(2, 4), "eat"))


def test_behaviors_of_single_frames_are_point_events(tmp_path: Path) -> None:
    windows = (Window(0, 2), Window(2, 2.04))
    document = json.loads(output.write(labeled(windows=windows), tmp_path / "a.boris").read_bytes())
    assert [one["type"] for one in document["behaviors_conf"].values()] == [
        "State event",
        "Point event",
    ]
    assert len(document["observations"]["a"]["events"]) == 3


def test_boris_opens_what_is_written(tmp_path: Path, video: Path) -> None:
    shutil.copy(video, tmp_path / "a.mp4")
    path = output.write(labeled(source=str(tmp_path / "a.mp4")), tmp_path / "a.boris")
    screen = {"QT_QPA_PLATFORM": "offscreen"}
    rows = [["groom", "face", "long", "STATE", 0.0, 2.0], ["eat", "", "", "STATE", 2.0, 4.0]]
    found = ask_another("VIDATTN_BORIS_PYTHON", "check_boris.py", path, **screen)
    assert found == {"problems": "", "rows": rows}
