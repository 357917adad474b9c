"""What Label Studio, CVAT, ActivityNet, FiftyOne and Final Cut get."""

import json
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.helpers import ask_another, two_windows
from tests.output.test_editors import NTSC, NTSC_24, QUIET, RATES, of_times, timeline_cut_at
from vidattn import output
from vidattn.output import render
from vidattn.timeline import Timeline
from vidattn.types import Settings, Window

FCPXML = """
<!ELEMENT fcpxml (resources, library)>
<!ATTLIST fcpxml version CDATA #FIXED "1.10">
<!ELEMENT resources (format | asset)*>
<!ELEMENT format EMPTY>
<!ATTLIST format id ID #REQUIRED frameDuration CDATA #IMPLIED
                 width CDATA #IMPLIED height CDATA #IMPLIED>
<!ELEMENT asset (media-rep+)>
<!ATTLIST asset id ID #REQUIRED name CDATA #IMPLIED start CDATA #IMPLIED
                duration CDATA #IMPLIED hasVideo CDATA #IMPLIED format IDREF #IMPLIED>
<!ELEMENT media-rep EMPTY>
<!ATTLIST media-rep kind (original-media | proxy-media) "original-media" src CDATA #REQUIRED>
<!ELEMENT library (event*)>
<!ELEMENT event (project*)>
<!ATTLIST event name CDATA #IMPLIED>
<!ELEMENT project (sequence)>
<!ATTLIST project name CDATA #IMPLIED>
<!ELEMENT sequence (spine)>
<!ATTLIST sequence format IDREF #REQUIRED duration CDATA #IMPLIED
                   tcStart CDATA #IMPLIED tcFormat (DF | NDF) #IMPLIED>
<!ELEMENT spine (asset-clip | gap)*>
<!ELEMENT asset-clip (marker*)>
<!ATTLIST asset-clip ref IDREF #REQUIRED name CDATA #IMPLIED offset CDATA #IMPLIED
                     start CDATA #IMPLIED duration CDATA #IMPLIED tcFormat (DF | NDF) #IMPLIED>
<!ELEMENT marker EMPTY>
<!ATTLIST marker start CDATA #REQUIRED duration CDATA #IMPLIED value CDATA #REQUIRED
                 note CDATA #IMPLIED>
<!ELEMENT gap EMPTY>
<!ATTLIST gap name CDATA #IMPLIED offset CDATA #IMPLIED start CDATA #IMPLIED
              duration CDATA #REQUIRED>
"""
"""The part of the definition of FCPXML 1.10 that we use; what is #REQUIRED there is so here."""


def seconds(text: str | None) -> Fraction:
    assert text.endswith("s")
    return Fraction(text.removesuffix("s"))


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_final_cut_gets_whole_frames_as_fractions_of_seconds(rate: Fraction) -> None:
    edges = [0, 100, 250, 251, 9000]
    settings = Settings(start_timecode="01:00:00:00")
    root = ElementTree.fromstring(render(timeline_cut_at(rate, edges, settings=settings), "fcpxml"))
    start = seconds(root.find(".//sequence").get("tcStart"))  # type: ignore[union-attr]
    assert start == 3600 * -(-rate.numerator // rate.denominator) / rate
    clips = root.findall(".//asset-clip")
    assert [(seconds(c.get("offset")) - start) * rate for c in clips] == edges[:-1]
    assert [seconds(c.get("duration")) * rate for c in clips] == list(np.diff(edges))
    assert [c.get("start") for c in clips] == [m.get("start") for m in root.iter("marker")]


@pytest.mark.parametrize("start", [None, "01:00:00;00"])
def test_final_cut_xml_obeys_its_definition(start: str | None) -> None:
    etree = pytest.importorskip("lxml.etree")
    import io

    settings = Settings(start_timecode=start)
    hostile = ('<&"\x00>', "]]>\u2028")
    timeline = timeline_cut_at(
        NTSC, [0, 50, 75, 100], labels=hostile, settings=settings, decoding=QUIET
    )
    root = etree.fromstring(render(timeline, "fcpxml").encode())
    definition = etree.DTD(io.StringIO(FCPXML))
    assert definition.validate(root), definition.error_log
    assert [child.tag for child in root.find(".//spine")] == ["asset-clip", "gap", "asset-clip"]
    assert root.find(".//sequence").get("tcFormat") == "DF"
    assert root.find(".//asset-clip").get("name") == '<&" >'


def test_final_cut_lays_the_video_out_without_holes() -> None:
    timeline = timeline_cut_at(NTSC_24, [0, 50, 75, 100], decoding=QUIET)
    spine = ElementTree.fromstring(render(timeline, "fcpxml")).find(".//spine")
    assert spine is not None
    at = Fraction(0)
    for child in spine:
        assert seconds(child.get("offset")) == at
        at += seconds(child.get("duration"))
    assert at == 100 / NTSC_24


def vfr() -> Timeline:
    """Two seconds at 30 frames per second, four at 15."""
    times = np.concatenate([np.arange(60) / 30, 2 + np.arange(60) / 15])
    return of_times(times, [Window(0, 2), Window(2, 6)], Fraction(20), 6.0, vfr=True)


def test_label_studio_counts_frames_from_one_and_includes_the_last() -> None:
    [task] = json.loads(render(timeline_cut_at(Fraction(25), [0, 50, 75]), "labelstudio"))
    [prediction] = task["predictions"]
    assert [r["value"] for r in prediction["result"]] == [
        {"ranges": [{"start": 1, "end": 50}], "timelinelabels": ["dive"]},
        {"ranges": [{"start": 51, "end": 75}], "timelinelabels": ["swim"]},
    ]
    assert {r["type"] for r in prediction["result"]} == {"timelinelabels"}
    assert len({r["id"] for r in prediction["result"]}) == 2
    assert task["data"] == {"video": "videos/my movie.mp4", "fps": 25, "duration": 3.0}
    # Its player turns times into frames at one rate, whatever the file does.
    [task] = json.loads(render(vfr(), "labelstudio"))
    assert task["predictions"][0]["result"][1]["value"]["ranges"] == [{"start": 41, "end": 120}]


def test_cvat_gets_a_tag_on_each_decoded_frame() -> None:
    root = ElementTree.fromstring(render(vfr(), "cvat"))
    images = root.findall("image")
    assert [int(image.get("id", "")) for image in images] == list(range(120))
    assert [image.find("tag").get("label") for image in images] == [  # type: ignore[union-attr]
        *["dive"] * 60,
        *["swim"] * 60,
    ]
    assert (images[7].get("name"), images[7].get("width")) == ("frame_000007", "640")
    assert [label.findtext("name") for label in root.iter("label")] == ["dive", "swim"]


def test_fiftyone_gets_supports_or_seconds() -> None:
    rows = json.loads(render(vfr(), "fiftyone"))["labels"]["my movie"]
    assert [row["support"] for row in rows] == [[1, 60], [61, 120]]
    timeline = timeline_cut_at(Fraction(25), [0, 50, 75], frame_times=None)
    rows = json.loads(render(timeline, "fiftyone"))["labels"]["my movie"]
    assert rows[1] == {"label": "swim", "confidence": 0.8, "timestamps": [2.0, 3.0]}


def test_activitynet_gets_results_in_seconds() -> None:
    timeline = timeline_cut_at(Fraction(25), [0, 50, 75], decoding=QUIET)
    document = json.loads(render(timeline, "activitynet"))
    assert document["results"] == {
        "my movie": [{"label": "dive", "score": 0.9, "segment": [0.0, 2.0]}]
    }
    assert document.keys() == {"version", "results", "external_data"}


@pytest.mark.parametrize(("labels", "errors"), [(("dive", "swim"), 0), (("dive",), 1)])
def test_label_studio_finds_no_fault_but_an_unknown_label(
    tmp_path: Path, labels: tuple[str, ...], errors: int
) -> None:
    path = output.write(two_windows(), tmp_path / "a.labelstudio.json")
    found = ask_another("VIDATTN_LABEL_STUDIO_PYTHON", "check_labelstudio.py", path, *labels)
    assert len(found) == errors


def test_the_importer_of_fiftyone_reads_the_supports(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my movie.mp4").touch()
    output.write(vfr(), tmp_path / "labels.json", "fiftyone")
    home = {"HOME": str(tmp_path)}
    found = ask_another("VIDATTN_FIFTYONE_PYTHON", "check_fiftyone.py", tmp_path, **home)
    assert [row[:2] for row in found] == [["dive", [1, 60]], ["swim", [61, 120]]]


def test_datumaro_reads_the_tags_of_cvat(tmp_path: Path) -> None:
    output.write(vfr(), tmp_path / "annotations.xml", "cvat")
    (tmp_path / "images").mkdir()
    for frame in range(120):
        (tmp_path / "images" / f"frame_{frame:06d}").touch()
    found = ask_another("VIDATTN_DATUMARO_PYTHON", "check_cvat.py", tmp_path, HOME=str(tmp_path))
    for frame, label in ((0, "dive"), (59, "dive"), (60, "swim"), (119, "swim")):
        assert found[f"frame_{frame:06d}"] == [label]
