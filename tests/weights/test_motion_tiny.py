"""The bundled model keeps what its card promises."""

import numpy as np
import pytest

from vidattn.config.recipes import find_recipe
from vidattn.data.motion.camera import LABELS
from vidattn.data.motion.dataset import validation_samples
from vidattn.evaluation.classification import measure
from vidattn.evaluation.dataset import predict_logits
from vidattn.weights.loading import BUNDLED_FOLDER, load
from vidattn.weights.safetensors_file import read_header

FILE = BUNDLED_FOLDER / "motion-tiny.safetensors"


def test_it_says_how_it_was_trained() -> None:
    header = read_header(FILE)
    assert (header.labels, header.license) == (LABELS, "Apache-2.0")
    assert header.clip == find_recipe("motion-tiny").clip
    assert header.model == find_recipe("motion-tiny").model
    assert FILE.stat().st_size < 8_000_000


@pytest.mark.slow
def test_it_classifies_nine_of_ten_validation_clips() -> None:
    classifier = load("motion-tiny")
    samples = validation_samples(classifier.clip, 300, seed=7)
    metrics = measure(*predict_logits(classifier.model, samples))
    assert metrics.top1 > 0.9
    assert np.diagonal(metrics.confusion).min() > 20
