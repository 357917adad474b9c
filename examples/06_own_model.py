"""How do I use a model of my own? Weights travel with all that is needed to use them rightly."""

import sample_video
import torch

import vidattn
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.timesformer import TimeSformer

torch.manual_seed(0)
shape = TimeSformerConfig(classes=2, frames=8, size=64, patch=16, width=64, depth=2, heads=4)
classifier = Classifier(
    model=TimeSformer(shape),  # logits [B, 2] from clips [B, 3, 8, 64, 64]; untrained here
    clip=ClipConfig(frames=8, step_seconds=0.25, short_side=64, crop=64),
    labels=("indoors", "outdoors"),
    card=ModelCard("house", license="Apache-2.0"),
)
vidattn.save(classifier, "house.safetensors")

again = vidattn.load("house.safetensors")
print(again.card.name, again.labels, again.clip.step_seconds)
print(vidattn.classify(sample_video.write("video.mp4"), again).top(2))
