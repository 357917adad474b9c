"""TimeSformer on Diving-48 (labels V2): everything as on Kinetics, with 48 classes.

Source: arXiv:2102.05095, Table 7, from weights of ImageNet-1k; there is no configuration file, but
the authors say that it is the one of Kinetics (official repository, issue 62). 3x1 views.

    vidattn train --dataset diving48 --data-root /data/diving48
    vidattn train --dataset diving48 -m timesformer-l-diving48
"""

from vidattn.config.recipes import kinetics
from vidattn.config.schema import Expected, Recipe

ALIKE = "arXiv:2102.05095, Table 7, trained as Kinetics-400"
IMAGENET = "deit-b16-in1k"

RECIPES: tuple[Recipe, ...] = (
    kinetics.retarget(kinetics.DIVIDED, "diving48", 48, ALIKE, Expected(74.9), IMAGENET),
    kinetics.retarget(kinetics.HIGH_RESOLUTION, "diving48", 48, ALIKE, Expected(78.0), IMAGENET),
    kinetics.retarget(kinetics.LONG, "diving48", 48, ALIKE, Expected(81.0), IMAGENET),
)
