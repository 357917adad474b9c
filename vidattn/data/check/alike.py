"""Files that show the same and differ in their bytes: copies, encoded once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidattn.video.protocol import Frames

SIDE = 8
"""Gray fields of a row and a column of a frame."""
SAME_LEVELS = 0.5
"""Of 255, the root of the mean square difference of all fields up to which two files are alike: a
copy lies at 0.3, gestures of one person in the same place at 0.8 and more."""
SAME_DURATION = 0.02
"""The most by which their durations differ, as a share."""
MOST_COMPARED = 5000
"""Files up to which all pairs are compared."""

Look = NDArray[np.float32]


def shrink_frame(frame: Frames) -> Look:
    """What a frame [H, W, 3] shows, roughly: gray levels [SIDE x SIDE]."""
    gray = frame.mean(2, dtype=np.float32)
    fields: Look = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()
    return fields


def find_alike(looks: Sequence[Look], durations: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Each file with the first one that looks the same in all frames taken, and lasts as long.

    looks: levels of the same number of frames each; others are alike to none.
    """
    if not looks or len(looks) > MOST_COMPARED:
        return
    length = max(map(len, looks))
    whole = [n for n, look in enumerate(looks) if len(look) == length]
    table, seconds = np.stack([looks[n] for n in whole]), np.array(durations)[whole]
    single = np.ones(len(whole), dtype=np.bool_)
    for i, (look, duration) in enumerate(zip(table, seconds, strict=True)):
        apart = np.square(table[i + 1 :] - look).mean(1)
        longer = np.maximum(seconds[i + 1 :], duration)
        close = np.abs(seconds[i + 1 :] - duration) <= SAME_DURATION * longer
        for j in np.flatnonzero((apart <= SAME_LEVELS**2) & close & single[i + 1 :]).tolist():
            single[i + 1 + j] = False
            yield whole[i], whole[i + 1 + j]
