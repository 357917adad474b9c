"""A Camera Trap Data Package of a run: its tables, and what an independent validator says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import Run, ask_another, read_csv, two_windows, write_video
from vidattn import output
from vidattn.errors import DataError
from vidattn.inference.batch.run_files import RunPackage
from vidattn.output.camtrap import read_deployments
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.pooling import Pool
from vidattn.timeline.wall_clock import with_start_time
from vidattn.types import BlankVerdict, ModelInfo, Settings

DEPLOYMENTS = """deploymentID,latitude,longitude,deploymentStart,deploymentEnd,habitat
site-a,52.7,23.8,2024-05-01T00:00:00Z,2024-05-31T00:00:00Z,forest
site-b,52.5,23.9,2024-04-01T00:00:00+02:00,2024-06-01T00:00:00+02:00,
unused,0,0,2020-01-01T00:00:00Z,2020-01-02T00:00:00Z,
"""


def timeline(source: str, labels: tuple[str, str] = ("Canis lupus", "blank")) -> Timeline:
    """Two seconds of each label, recorded from 22:00."""
    made = two_windows(source=source, labels=labels, model=ModelInfo(name="wolves"))
    return with_start_time(made, "2024-05-01T22:00:00.250+02:00")


@pytest.fixture
def package(tmp_path: Path) -> RunPackage:
    (tmp_path / "deployments.csv").write_text(DEPLOYMENTS)
    return RunPackage(tmp_path / "p" / "datapackage.json", tmp_path / "deployments.csv")


def add(package: RunPackage, timeline: Timeline) -> None:
    package.add(timeline.source, timeline.to_dict(scores=False))


def write(package: RunPackage, *order: str) -> Path:
    place = package.write(order)
    assert place is not None
    return place


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    found = read_csv(folder / f"{name}.csv")
    return [{k: v for k, v in row.items() if v} for row in found]


def test_a_package_has_deployments_media_and_observations(
    package: RunPackage, tmp_path: Path
) -> None:
    folder = tmp_path / "Wolves 2024"
    package.place = folder / "datapackage.json"
    add(package, timeline("../traps/site-b/b.avi"))
    add(package, timeline("/traps/site-a/a.mp4"))
    place = write(package, "/traps/site-a/a.mp4", "../traps/site-b/b.avi", "not-done.mp4")
    document = json.loads(place.read_bytes())
    media, observations = rows(folder, "media"), rows(folder, "observations")
    assert [one["deploymentID"] for one in rows(folder, "deployments")] == ["site-a", "site-b"]
    assert media[0] == {
        "mediaID": "traps/site-a/a.mp4",
        "deploymentID": "site-a",
        "timestamp": "2024-05-01T22:00:00+02:00",
        "filePath": "traps/site-a/a.mp4",
        "filePublic": "false",
        "fileName": "a.mp4",
        "fileMediatype": "video/mp4",
    }
    assert observations[1] == {
        "observationID": "traps/site-a/a.mp4:2",
        "deploymentID": "site-a",
        "mediaID": "traps/site-a/a.mp4",
        "eventStart": "2024-05-01T22:00:02+02:00",
        "eventEnd": "2024-05-01T22:00:04+02:00",
        "observationLevel": "media",
        "observationType": "blank",
        "classificationMethod": "machine",
        "classifiedBy": "wolves",
        "classificationProbability": "0.80000",
        "observationTags": "start:2.000 | end:4.000",
        "observationComments": "blank",
    }
    assert observations[0]["scientificName"] == "Canis lupus"
    assert document["name"] == "wolves-2024"
    assert document["taxonomic"] == [{"scientificName": "Canis lupus"}]
    assert document["temporal"] == {"start": "2024-04-01", "end": "2024-06-01"}
    assert document["spatial"]["coordinates"][0][0] == [23.8, 52.5]


def test_what_people_wrote_into_the_description_is_kept(package: RunPackage) -> None:
    add(package, timeline("site-a/a.mp4"))
    place = write(package, "site-a/a.mp4")
    document = json.loads(place.read_bytes())
    document["contributors"] = [{"title": "Ada", "role": "principalInvestigator"}]
    place.write_text(json.dumps(document))
    write(package, "site-a/a.mp4")
    assert json.loads(place.read_bytes())["contributors"] == document["contributors"]


def test_labels_have_the_meaning_of_a_table(package: RunPackage, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"site-a/a\.mp4: the label 'grazing' is neither"):
        add(package, timeline("site-a/a.mp4", ("grazing", "blank")))
    (tmp_path / "taxa.csv").write_text(
        "label,observationType,scientificName,behavior\n"
        "grazing,animal,Cervus elaphus,grazing\nbackground,blank,,\n"
    )
    known = RunPackage(package.place, tmp_path / "deployments.csv", tmp_path / "taxa.csv")
    quiet = replace(
        timeline("site-a/a.mp4", ("grazing", "blank")),
        decoding=Decoding(smooth="none", threshold=0.85),
    )
    add(known, quiet)
    write(known, "site-a/a.mp4")
    first, second = rows(tmp_path / "p", "observations")
    assert (first["scientificName"], first["behavior"]) == ("Cervus elaphus", "grazing")
    assert second["observationType"] == "blank"
    assert "classificationProbability" not in second


@pytest.mark.parametrize(("risk", "kind"), [(0.01, "blank"), (0.5, "unclassified")])
def test_a_blank_verdict_counts_before_the_label(
    package: RunPackage, tmp_path: Path, risk: float, kind: str
) -> None:
    one = timeline("site-a/a.mp4", ("blank", "Canis lupus")).pool_windows(Pool("mean"))
    add(package, replace(one, blank=BlankVerdict(risk, 0.05)))
    write(package, one.source)
    (row,) = rows(tmp_path / "p", "observations")
    assert row["observationType"] == kind
    assert "scientificName" not in row


def test_what_a_package_cannot_do_without_is_named(package: RunPackage, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not known when"):
        add(package, two_windows(source="site-a/a.mp4"))
    with pytest.raises(DataError, match="how far from UTC"):
        add(package, with_start_time(two_windows(source="site-a/a.mp4"), "2024-05-01T22:00"))
    with pytest.raises(DataError, match="no folder in its path"):
        add(package, timeline("elsewhere/a.mp4"))
    assert package.write([]) is None
    (tmp_path / "d.csv").write_text(DEPLOYMENTS.replace("00:00:00Z", "00:00:00"))
    with pytest.raises(DataError, match=r"line 2: .* no offset"):
        read_deployments(tmp_path / "d.csv")
    (tmp_path / "d.csv").write_text("deploymentID\nsite-a\n")
    with pytest.raises(DataError, match="no column latitude"):
        read_deployments(tmp_path / "d.csv")


def test_the_command_line_writes_a_package_of_saved_results(tmp_path: Path, quick: Run) -> None:
    (tmp_path / "deployments.csv").write_text(DEPLOYMENTS)
    for name in "ab":
        saved = replace(timeline(f"site-{name}/{name}.mp4"), settings=Settings())
        output.write(saved, tmp_path / "results" / f"{name}.vidattn.json")
    starts = "path,start\na.mp4,2024-05-01T22:00Z\n"
    (tmp_path / "starts.csv").write_text(starts)
    words = ("timeline", "results", "-f", "camtrap-dp", "--deployments", "deployments.csv")
    timed = (*words, "--start-time", "starts.csv")
    shown = quick(*timed, code=4).stderr
    assert "site-b/b.mp4: it is not known when" in shown
    assert "1 result left out of camtrap-dp/datapackage.json" in shown
    assert len(rows(tmp_path / "camtrap-dp", "observations")) == 2
    (tmp_path / "starts.csv").write_text(f"{starts}b.mp4,2024-05-02T22:00Z\n")
    assert "wrote camtrap-dp/datapackage.json" in quick(*timed).stderr
    assert len(rows(tmp_path / "camtrap-dp", "observations")) == 4
    assert "belong together" in quick(*words[:4], code=2).stderr
    own = tmp_path / "camtrap-dp" / "deployments.csv"
    before = own.read_bytes()
    assert "the package writes this file" in quick(*words[:5], own, code=2).stderr
    assert own.read_bytes() == before
    assert "not known when" in quick(*words, "-o", "none", code=3).stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("more", [(), ("--skip-existing",)])
def test_a_run_whose_results_are_all_left_out_leaves_no_package(
    tmp_path: Path, quick: Run, more: tuple[str, ...]
) -> None:
    (tmp_path / "deployments.csv").write_text(DEPLOYMENTS)
    write_video(tmp_path / "site-a" / "a.mp4", 1)
    words = ("segment", "site-a", "-m", "motion-tiny", "-o", "out", "-f", "json,camtrap-dp")
    shown = quick(*words, "--deployments", "deployments.csv", *more, code=4).stderr
    assert "1 result left out of out/camtrap-dp/datapackage.json" in shown
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["site-a"]


def test_what_a_package_will_lack_is_told_before_the_work_and_once(
    tmp_path: Path, quick: Run, model: Path
) -> None:
    (tmp_path / "deployments.csv").write_text(DEPLOYMENTS)
    for name in ("a", "b"):
        write_video(tmp_path / "elsewhere" / f"{name}.mp4", seconds=1)
    words = ("classify", "elsewhere", "-m", model, "-f", "camtrap-dp", "--start-time")
    starts = "path,start\n" + "".join(f"{name}.mp4,2024-05-01T22:00Z\n" for name in "ab")
    (tmp_path / "starts.csv").write_text(starts)
    words = (*words, "starts.csv", "--deployments", "deployments.csv", "-o", "out")
    shown = quick(*words, code=4).stderr
    lost = "out/camtrap-dp/datapackage.json: will lack 2 videos of no deployment: elsewhere/a.mp4"
    assert shown.startswith(f"warning: {lost}")
    assert (shown.count("error: "), shown.count("hint: ")) == (2, 1)
    assert "2 results left out of out/camtrap-dp/datapackage.json, which is not written" in shown
    assert not (tmp_path / "out" / "camtrap-dp").exists()


def test_frictionless_finds_the_package_valid(package: RunPackage, tmp_path: Path) -> None:
    names = ("site-a/a.mp4", "site-a/=b.mov", "site-b/é,c.mp4")
    for name in names:
        add(package, timeline(name))
    write(package, *names)
    check = ("VIDATTN_FRICTIONLESS_PYTHON", "check_camtrap.py", tmp_path / "p")
    assert ask_another(*check) == []
    text = (tmp_path / "p" / "observations.csv").read_text()
    (tmp_path / "p" / "observations.csv").write_text(text.replace(",blank,", ",nothing,", 1))
    assert ask_another(*check)
