"""Levels that no viewer gave: the QPs at which VMAF falls below three thresholds.

They stand in for viewers where there are none, and must say so wherever they appear. On photographs
the default thresholds give about the mean levels that VideoSet's viewers gave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from common.codecs import h264
from common.errors import UserError
from common.facts import COARSEST_QP

THRESHOLDS = (94.5, 91.25, 87.0)

# VMAF is not quite monotone in QP. How many QPs below the crossing are looked at for an earlier
# one: 2 find the answer of the full sweep on all of 108 photographs, 1 misses by 2 QP on one.
LOOK_BACK = 3


class Level(NamedTuple):
    """A QP, the stream of the frame at that QP, and the stream's VMAF."""

    qp: int
    stream: bytes
    vmaf: float


def find_levels(rgb: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> list[Level]:
    """For each threshold the lowest QP at which the frame's VMAF is below it.

    Args:
        rgb: uint8 [height, width, 3], height and width even.
        thresholds: VMAF, 0 to 100, falling.

    Raises:
        UserError: VMAF stays at or above a threshold up to the coarsest QP, as on flat frames, or
            is below it already where nothing is lost.
    """
    seen: dict[int, Level] = {}

    def vmaf(qp: int) -> float:
        if qp not in seen:
            stream = h264.encode(rgb, qp)
            seen[qp] = Level(qp, stream, h264.measure(rgb, stream, ["vmaf"])["vmaf"])
        return seen[qp].vmaf

    levels: list[Level] = []
    for threshold in thresholds:
        # What is below this threshold was below the one before too.
        finest = levels[-1].qp if levels else 0
        below = [qp for qp, level in seen.items() if level.vmaf < threshold]
        qp = lowest_below(vmaf, threshold, finest, min(below, default=COARSEST_QP))
        if qp is None:
            raise UserError(f"VMAF stays at {vmaf(COARSEST_QP):.1f} up to QP 51")
        if qp == 0:
            raise UserError(f"VMAF is below {threshold:g} already without any loss")
        levels.append(seen[qp])
    return levels


def lowest_below(
    score: Callable[[int], float], threshold: float, finest: int = 0, coarsest: int = COARSEST_QP
) -> int | None:
    """The lowest QP in `finest` to `coarsest` whose score is below the threshold; None if none is.

    By bisection, then a look at the `LOOK_BACK` QPs before each crossing found. It errs only where
    scores fall below the threshold and rise above it again over more QPs than that.
    """
    low, found = finest, coarsest
    while low < found:
        middle = (low + found) // 2
        if score(middle) < threshold:
            found = middle
        else:
            low = middle + 1
    if score(found) >= threshold:
        return None
    while True:
        before = range(max(found - LOOK_BACK, finest), found)
        earlier = next((qp for qp in before if score(qp) < threshold), None)
        if earlier is None:
            return found
        found = earlier
