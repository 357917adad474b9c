"""Validates a Camera Trap Data Package with frictionless; prints its errors as JSON.

To be run by a Python that has frictionless. The schemas of the standard lie on the network; the
rules here are those of Camtrap DP 1.0 for the columns that vidattn fills, in the words of Table
Schema: types, formats, what is required, unique, or one of a few values, and foreign keys. Where
trap-schema is installed, which has every column of 1.0.2, it must load the package as well.
"""

import importlib.util
import json
import sys
import warnings
from pathlib import Path

from frictionless import Package, Resource

TIME = {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S%z"}
NEEDED = {"required": True}
KEY = {"required": True, "unique": True}
TYPES = ["animal", "human", "vehicle", "blank", "unknown", "unclassified"]
FIELDS = {
    "deployments": {
        "deploymentID": {"constraints": KEY},
        "latitude": {"type": "number", "constraints": {**NEEDED, "minimum": -90, "maximum": 90}},
        "longitude": {"type": "number", "constraints": {**NEEDED, "minimum": -180, "maximum": 180}},
        "deploymentStart": {**TIME, "constraints": NEEDED},
        "deploymentEnd": {**TIME, "constraints": NEEDED},
        "coordinateUncertainty": {"type": "integer"},
        "cameraDelay": {"type": "integer"},
        "cameraHeight": {"type": "number"},
        "timestampIssues": {"type": "boolean"},
        "baitUse": {"type": "boolean"},
    },
    "media": {
        "mediaID": {"constraints": KEY},
        "deploymentID": {"constraints": NEEDED},
        "captureMethod": {"constraints": {"enum": ["activityDetection", "timeLapse"]}},
        "timestamp": {**TIME, "constraints": NEEDED},
        "filePath": {"constraints": {**NEEDED, "pattern": r"^(?=^[^./~])(^((?!\.{2}).)*$).*$"}},
        "filePublic": {"type": "boolean", "constraints": NEEDED},
        "fileMediatype": {"constraints": {**NEEDED, "pattern": r"^(image|video|audio)/.*$"}},
        "favorite": {"type": "boolean"},
    },
    "observations": {
        "observationID": {"constraints": KEY},
        "deploymentID": {"constraints": NEEDED},
        "eventStart": {**TIME, "constraints": NEEDED},
        "eventEnd": {**TIME, "constraints": NEEDED},
        "observationLevel": {"constraints": {**NEEDED, "enum": ["media", "event"]}},
        "observationType": {"constraints": {**NEEDED, "enum": TYPES}},
        "count": {"type": "integer", "constraints": {"minimum": 1}},
        "lifeStage": {"constraints": {"enum": ["adult", "subadult", "juvenile"]}},
        "sex": {"constraints": {"enum": ["female", "male"]}},
        "classificationMethod": {"constraints": {"enum": ["human", "machine"]}},
        "classificationTimestamp": TIME,
        "classificationProbability": {
            "type": "number",
            "constraints": {"minimum": 0, "maximum": 1},
        },
    },
}
TO = {"media": ["deployments"], "observations": ["deployments", "media"]}
IDS = {"deployments": "deploymentID", "media": "mediaID"}
REQUIRED = {
    *("profile", "created", "contributors", "project", "spatial", "temporal", "taxonomic"),
    "resources",
}

folder = Path(sys.argv[1])
document = json.loads((folder / "datapackage.json").read_bytes())
errors = [f"{name} is missing" for name in sorted(REQUIRED - document.keys())]
resources = []
for resource in document["resources"]:
    name = resource["name"]
    header = (folder / resource["path"]).read_text().split("\n", 1)[0].split(",")
    known = FIELDS[name]
    fields = [{"name": k, "type": "string", **known.pop(k, {})} for k in header]
    errors += [f"{name} has no column {k}" for k, rule in known.items() if "constraints" in rule]
    keys = [
        {"fields": [IDS[to]], "reference": {"resource": to, "fields": [IDS[to]]}}
        for to in TO.get(name, ())
    ]
    schema = {"fields": fields, "foreignKeys": keys, "primaryKey": header[:1]}
    plain = {k: v for k, v in resource.items() if k not in ("schema", "profile")}
    resources.append(Resource.from_descriptor({**plain, "type": "table", "schema": schema}))
report = Package(name=document["name"], resources=resources, basepath=str(folder)).validate()
errors += [error.message for task in report.tasks for error in task.errors]
errors += [error.message for error in report.errors]
if importlib.util.find_spec("trap_schema"):
    import trap_schema

    warnings.simplefilter("error")  # a column too many or too few is a warning
    for table in ("DeploymentsTable", "MediaTable", "ObservationsTable", "DataPackage"):
        try:
            getattr(trap_schema, table).load(folder)
        except (ValueError, Warning) as error:
            errors.append(f"{table}: {error}")
sys.stdout.write(json.dumps(errors))
