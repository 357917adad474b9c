"""Opens a project in BORIS, checks it as BORIS does, and prints its aggregated events as JSON.

To be run by a Python that has boris-behav-obs. BORIS imports its player and sound, which a machine
without a screen need not have; neither is used here.
"""

import json
import sys
import types

player = types.ModuleType("boris.mpv2")
player.MPV, player.dll, player.MpvEvent = None, "", None
sys.modules["boris.mpv2"] = player
sys.modules["PyQt5.QtMultimedia"] = types.SimpleNamespace(QSound=None)

from boris import export_observation, project_functions  # noqa: E402

_, _, project, message = project_functions.open_project_json(sys.argv[1])
problems = project.get("error", "") or project_functions.check_project_integrity(
    project, "s", sys.argv[1]
)
(name,) = project["observations"]
everything = {
    "selected subjects": [
        "No focal subject",
        *(s["name"] for s in project["subjects_conf"].values()),
    ],
    "selected behaviors": [one["code"] for one in project["behaviors_conf"].values()],
    "include modifiers": True,
    "time": "full obs",
    "start time": 0,
    "end time": 1e9,
}
table, _ = export_observation.export_aggregated_events(project, everything, name)
rows = [[*row[11:12], *row[13:16], *map(float, row[16:18])] for row in table]
sys.stdout.write(json.dumps({"problems": problems, "rows": rows}))
