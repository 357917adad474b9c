"""Reads annotations of CVAT with Datumaro, whose importer wants a file for every frame.

To be run by a Python that has datumaro; prints the labels of each frame.
"""

import json
import sys

import datumaro

dataset = datumaro.Dataset.import_from(sys.argv[1], "cvat")
names = dataset.categories()[datumaro.AnnotationType.label]
frames = {item.id: [names[a.label].name for a in item.annotations] for item in dataset}
sys.stdout.write(json.dumps(frames))
