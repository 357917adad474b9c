"""Validates the predictions of a task against the labeling setup of our documentation.

To be run by a Python that has label-studio-sdk; prints the errors that it finds as JSON.
"""

import json
import sys
from pathlib import Path

from label_studio_sdk.label_interface import LabelInterface

(task,) = json.loads(Path(sys.argv[1]).read_bytes())
labels = "".join(f'<Label value="{label}"/>' for label in sys.argv[2:])
setup = LabelInterface(
    '<View><Video name="video" value="$video" frameRate="$fps"/>'
    f'<TimelineLabels name="videoLabels" toName="video">{labels}</TimelineLabels></View>'
)
errors = [e for p in task["predictions"] for e in setup.validate_prediction(p, return_errors=True)]
sys.stdout.write(json.dumps(errors))
