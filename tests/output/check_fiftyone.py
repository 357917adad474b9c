"""Reads a folder with FiftyOne's own importer of temporal detections, which needs no database.

To be run by a Python that has fiftyone; prints label, support and confidence of each detection.
"""

import json
import sys

from fiftyone.utils.data.importers import FiftyOneTemporalDetectionDatasetImporter

importer = FiftyOneTemporalDetectionDatasetImporter(sys.argv[1], compute_metadata=False)
with importer:
    found = [
        (one.label, list(one.support), one.confidence)
        for _, _, label, *_ in importer
        for one in label.detections
    ]
sys.stdout.write(json.dumps(found))
