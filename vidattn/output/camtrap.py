"""Timelines as a Camera Trap Data Package: media, deployments and observations of a whole run.

Camtrap DP 1.0.2 (camtrap-dp.tdwg.org): tables for deployments, media and observations, and a
datapackage.json that describes them. Every segment is an observation of its media file.
"""

from __future__ import annotations

import csv
import io
import math
import mimetypes
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Any

from vidattn.errors import DataError
from vidattn.io.csv_table import read_columns, take_values
from vidattn.io.files import is_file, read_file, reading
from vidattn.io.json import dumps_pretty, parse_object
from vidattn.timeline.wall_clock import parse_time

STANDARD = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2"
RESOURCES = ("deployments", "media", "observations")
DEPLOYMENTS = (
    *("deploymentID", "locationID", "locationName", "latitude", "longitude"),
    *("coordinateUncertainty", "deploymentStart", "deploymentEnd", "setupBy", "cameraID"),
    *("cameraModel", "cameraDelay", "cameraHeight", "cameraDepth", "cameraTilt", "cameraHeading"),
    *("detectionDistance", "timestampIssues", "baitUse", "featureType", "habitat"),
    *("deploymentGroups", "deploymentTags", "deploymentComments"),
)
NUMBERS = (
    *("latitude", "longitude", "coordinateUncertainty", "detectionDistance"),
    *("cameraDelay", "cameraHeight", "cameraDepth", "cameraTilt", "cameraHeading"),
)
"""The deployments' columns of numbers."""
NEEDED = ("deploymentID", "latitude", "longitude", "deploymentStart", "deploymentEnd")
MEDIA = (
    *("mediaID", "deploymentID", "captureMethod", "timestamp", "filePath", "filePublic"),
    *("fileName", "fileMediatype", "exifData", "favorite", "mediaComments"),
)
OBSERVED = ("cameraSetupType", "scientificName", "count", "lifeStage", "sex", "behavior")
"""What a table of labels may say of one, beside its observationType."""
OBSERVATIONS = (
    *("observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd"),
    *("observationLevel", "observationType", *OBSERVED, "individualID"),
    *("individualPositionRadius", "individualPositionAngle", "individualSpeed"),
    *("bboxX", "bboxY", "bboxWidth", "bboxHeight", "classificationMethod", "classifiedBy"),
    *("classificationTimestamp", "classificationProbability", "observationTags"),
    "observationComments",
)
TYPES = ("animal", "human", "vehicle", "blank", "unknown", "unclassified")
WORDS = {"empty": "blank", "person": "human", "people": "human", "car": "vehicle"}
"""Labels that mean one of TYPES."""
SPECIES = re.compile(r"[A-Z][a-z]+ [a-z]{2,}( [a-z]{2,})?")
Row = dict[str, str]
Rows = list[Row]
Document = Mapping[str, Any]


def read_deployments(path: Path) -> Rows:
    """The deployments of a csv with the columns of Camtrap DP. Raises DataError."""
    rows = _read_rows(path, DEPLOYMENTS, NEEDED)
    for line, row in rows:
        try:
            place = float(row["latitude"]), float(row["longitude"])
            if not (abs(place[0]) <= 90 and abs(place[1]) <= 180):
                raise ValueError("latitude and longitude are degrees up to 90 and 180")
            for name in ("deploymentStart", "deploymentEnd"):
                row[name] = _second(row[name])
        except ValueError as error:
            raise DataError(f"{path}: line {line}: {error}") from None
    return [row for _, row in rows]


def read_taxa(path: Path) -> dict[str, dict[str, str]]:
    """What labels mean, of a csv of label,observationType,scientificName,behavior,...

    Raises DataError.
    """
    needed = "label", "observationType"
    rows = _read_rows(path, (*needed, *OBSERVED), needed)
    for line, row in rows:
        if row["observationType"] not in TYPES:
            hint = f"an observationType is {', '.join(TYPES)}"
            raise DataError(f"{path}: line {line}: {row['observationType']!r}", hint=hint)
    return take_values(path, ((line, row["label"], row) for line, row in rows), DataError)


class CamtrapPackage:
    """What results become in a package: a media file and observations.

    deployments, taxa: as of `read_deployments` and `read_taxa`. A video belongs to the deployment
    whose id is the name of a folder in its path, or to the only one. A label without a row in
    `taxa` must be a scientific name or one of TYPES and WORDS.
    """

    def __init__(
        self, deployments: Rows, taxa: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._deployments, self._taxa = deployments, taxa or {}

    def observe(self, document: Document) -> tuple[Row, Rows]:
        """The media file and the observations of a result (`vidattn.timeline.document`).

        Raises DataError for one without start time and offset from UTC, of no deployment, or with
        a label that has no meaning.
        """
        source, roi = str(document["input"]["path"]), document["settings"].get("roi")
        path = "/".join(p for p in PurePath(source).parts if p not in ("/", "..", "."))
        start = _start(source, document["settings"].get("start_time"))
        ids = {"mediaID": path, "deploymentID": self._require_deployment(source)}
        media = {
            **ids,
            "timestamp": _iso(start),
            "filePath": path.lstrip("~."),
            "filePublic": "false",
            "fileName": PurePath(path).name,
            "fileMediatype": mimetypes.guess_type(path)[0] or "video/mp4",
        }
        name, by = f"{path}#{roi}" if roi else path, document["model"].get("name") or "vidattn"
        offset = document["input"].get("start_offset") or 0.0
        rows = [self._observation(source, row, offset, start) for row in document["segments"]]
        if (verdict := document.get("blank")) is not None:
            rows = [{**row, **_blank(row, is_blank=verdict["is_blank"])} for row in rows]
        return media, [
            {"observationID": f"{name}:{number}", **ids, **row, "classifiedBy": by}
            for number, row in enumerate(rows, start=1)
        ]

    def deployments(self, used: Collection[str]) -> bytes:
        """The table of the deployments with these ids."""
        return f"{','.join(DEPLOYMENTS)}\n".encode() + csv_rows(DEPLOYMENTS, self._select(used))

    def describe(self, place: Path, used: Collection[str], species: Iterable[str]) -> bytes:
        """The content of the datapackage.json at `place`, of these deployments and species.

        What an earlier one says of project, contributors and licenses is kept. Raises DataError.
        """
        title, deployments = place.parent.resolve().name or "package", self._select(used)
        document = {
            "name": re.sub(r"[^a-z0-9._-]+", "-", title.lower()).strip("-") or "package",
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "contributors": [{"title": "vidattn", "role": "contributor"}],
            "project": {
                "title": title,
                "samplingDesign": "opportunistic",
                "captureMethod": ["activityDetection"],
                "individualAnimals": False,
                "observationLevel": ["media"],
            },
            **_kept(place),
            "profile": f"{STANDARD}/camtrap-dp-profile.json",
            "resources": [_resource(name) for name in RESOURCES],
            "spatial": _spatial(deployments),
            "temporal": _temporal(deployments),
            "taxonomic": [{"scientificName": name} for name in species],
        }
        return (dumps_pretty(document, 2) + "\n").encode()

    def _select(self, used: Collection[str]) -> Rows:
        return [row for row in self._deployments if row["deploymentID"] in used]

    def find_deployment(self, source: str) -> str | None:
        """The id of the deployment of a video; None without one."""
        known = [row["deploymentID"] for row in self._deployments]
        found = [part for part in reversed(PurePath(source).parts[:-1]) if part in known]
        return (found or known)[0] if found or len(known) == 1 else None

    def _require_deployment(self, source: str) -> str:
        found = self.find_deployment(source)
        if found is None:
            known = ", ".join(row["deploymentID"] for row in self._deployments)
            raise DataError(
                f"{source}: no folder in its path is a deployment",
                hint=f"deploymentID is the name of a folder; there are {known}",
            )
        return found

    def _observation(self, source: str, segment: Document, offset: float, start: datetime) -> Row:
        low, high = (segment[end] + offset for end in ("start", "end"))
        row = {
            "eventStart": _iso(start + timedelta(seconds=math.floor(low))),
            "eventEnd": _iso(start + timedelta(seconds=math.ceil(high))),
            "observationLevel": "media",
            **self._meaning(source, segment),
            "classificationMethod": "machine",
            "observationTags": f"start:{low:.3f} | end:{high:.3f}",
        }
        if segment["label_id"] is not None:
            row["classificationProbability"] = f"{segment['score']:.5f}"
            row["observationComments"] = segment["label"]
        return row

    def _meaning(self, source: str, segment: Document) -> Row:
        """The observationType of a label, and what else is known of it."""
        label = str(segment["label"])
        if (known := self._taxa.get(label)) is not None:
            more = {name: known[name] for name in OBSERVED if known.get(name)}
            return {"observationType": known["observationType"], **more}
        if segment["label_id"] is None:
            return {"observationType": "unclassified"}
        word = WORDS.get(label.lower(), label.lower())
        if word in TYPES:
            return {"observationType": word}
        if SPECIES.fullmatch(label):
            return {"observationType": "animal", "scientificName": label}
        raise DataError(
            f"{source}: the label {label!r} is neither a scientific name nor one of "
            + ", ".join(TYPES),
            hint="--taxa FILE: a csv of label,observationType,scientificName,behavior",
        )


def _blank(row: Row, *, is_blank: bool) -> Row:
    """The observationType of a video that is blank, or is not, whatever its label."""
    if is_blank:
        gone = dict.fromkeys((*OBSERVED, "classificationProbability"), "")
        return {**gone, "observationType": "blank"}
    return {"observationType": "unclassified"} if row["observationType"] == "blank" else {}


def _resource(name: str) -> dict[str, str]:
    return {
        "name": name,
        "path": f"{name}.csv",
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": f"{STANDARD}/{name}-table-schema.json",
    }


def _kept(place: Path) -> dict[str, Any]:
    """What an earlier file says that is not made anew."""
    if not is_file(place):
        return {}
    with reading(place, DataError):
        document = parse_object(read_file(place))
    if document is None:
        raise DataError(f"{place}: is no JSON object", hint="remove it, or choose another folder")
    return document


def _start(source: str, text: str | None) -> datetime:
    """When the file begins, with an offset from UTC. Raises DataError."""
    start = None if text is None else parse_time(text)
    if start is None or start.tzinfo is None:
        raise DataError(
            f"{source}: it is not known when it was recorded"
            + (", or how far from UTC its clock is" if start else ""),
            hint="--start-time file, a csv of path,start, or a time such as 2024-05-01T06:30+02:00",
        )
    return start


def _second(text: str) -> str:
    moment = parse_time(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC, such as Z or +02:00")
    return _iso(moment)


def _iso(moment: datetime) -> str:
    """To the second, with Z for UTC."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _spatial(deployments: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The box around all deployments, as GeoJSON."""
    x, y = ([float(row[name]) for row in deployments] for name in ("longitude", "latitude"))
    west, east, south, north = min(x), max(x), min(y), max(y)
    if (west, south) == (east, north):
        return {"type": "Point", "coordinates": [west, south]}
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _temporal(deployments: Sequence[Mapping[str, str]]) -> dict[str, str]:
    start = min(row["deploymentStart"] for row in deployments)
    end = max(row["deploymentEnd"] for row in deployments)
    return {"start": start[:10], "end": end[:10]}


def _read_rows(path: Path, columns: Sequence[str], needed: Sequence[str]) -> list[tuple[int, Row]]:
    hint = f"needed: {','.join(needed)}"
    named = {name: (name,) for name in columns}
    return read_columns(path, named, needed, DataError, hint, NUMBERS)


def csv_rows(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """Rows of CSV, without a header."""
    text = io.StringIO()
    csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
