"""Levels that no viewer gave: the QPs at which VMAF falls below three thresholds.

They stand in for viewers where there are none, and must say so wherever they appear. On photographs
the default thresholds give about the mean levels that VideoSet's viewers gave.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..base.constants import COARSEST_QP
from ..base.errors import UserError, as_result
from ..video import h264, quality

THRESHOLDS = (94.5, 91.25, 87.0)

# VMAF is not quite monotone in QP. How many QPs below the crossing are looked at for an earlier
# one: 2 find the answer of the full sweep on all of 108 photographs, 1 misses by 2 QP on one.
LOOK_BACK = 3
# Of QPs before one whose VMAF is so far above the threshold none was below it.
_WELL_ABOVE = 0.3
# Asked first: about the levels that most photographs have.
_FIRST = (26, 30, 34)
# Where no QP on one side is known: by how much log(100 - VMAF), which is nearly linear in the QP,
# rises per QP.
_RISE = 0.11


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
    (found,) = find_levels_of_each([rgb], thresholds)
    if isinstance(found, UserError):
        raise found
    return found


def find_levels_of_each(
    frames: Sequence[np.ndarray], thresholds: Sequence[float] = THRESHOLDS
) -> list[list[Level] | UserError]:
    """`find_levels` of each of some frames of one size, or what it would raise.

    All frames are coded and measured in one run of x264 and one of libvmaf, at several QPs at once:
    those at which the thresholds are expected to be crossed, and up to `LOOK_BACK` before. On 1083
    cut-outs of 361 photographs that found what measuring all QPs found, by 11 QPs each in two or
    three runs.
    """
    seen: list[dict[int, Level]] = [{} for _ in frames]
    asked = [set(_FIRST) for _ in frames]
    while any(asked):
        for known, levels in zip(seen, _measured(frames, [sorted(qps) for qps in asked])):
            known.update((level.qp, level) for level in levels)
        asked = [
            {qp for threshold in thresholds for qp in _wanted(known, threshold)} - known.keys()
            for known in seen
        ]
    return [as_result(_crossings, known, thresholds) for known in seen]


def _crossings(seen: dict[int, Level], thresholds: Sequence[float]) -> list[Level]:
    levels = []
    for threshold in thresholds:
        qp = min((qp for qp, level in seen.items() if level.vmaf < threshold), default=None)
        if qp is None:
            raise UserError(f"VMAF stays at {seen[COARSEST_QP].vmaf:.1f} up to QP 51")
        if qp == 0:
            raise UserError(f"VMAF is below {threshold:g} already without any loss")
        levels.append(seen[qp])
    return levels


def _measured(frames: Sequence[np.ndarray], asked: list[list[int]]) -> list[list[Level]]:
    """Each frame at each of its QPs."""
    levels: list[list[Level]] = [[] for _ in frames]

    def measure(places: list[int], qps: list[list[int]], streams: list[list[bytes]]) -> None:
        scores = quality.score_streams([frames[place] for place in places], streams)
        for place, *of_frame in zip(places, qps, streams, scores):
            levels[place] += [Level(*each) for each in zip(*of_frame)]

    together = [[qp for qp in qps if qp >= h264.FINEST_OF_EACH] for qps in asked]
    places = [place for place, qps in enumerate(together) if qps]
    if places:
        several = [together[place] for place in places]
        streams = h264.encode_each([frames[place] for place in places], several)
        measure(places, several, streams)
    # Those too fine to be coded together are measured alone, too.
    for place, qps in enumerate(asked):
        for qp in (qp for qp in qps if qp < h264.FINEST_OF_EACH):
            measure([place], [[qp]], [[h264.encode(frames[place], qp)]])
    return levels


def _wanted(seen: dict[int, Level], threshold: float) -> range:
    """The QPs to know for the lowest one below the threshold, by those known."""
    qps = np.array(sorted(seen))
    scores = np.array([seen[qp].vmaf for qp in qps])
    below = qps[scores < threshold]
    # Equal frames have 100; VMAF is not quite monotone.
    losses = np.maximum.accumulate(np.log(np.maximum(100 - scores, 1e-6)))
    loss = np.log(100 - threshold)
    expected = np.interp(loss, losses, qps)
    expected += (min(loss - losses[0], 0) + max(loss - losses[-1], 0)) / _RISE
    qp = int(np.clip(np.ceil(expected), 0, COARSEST_QP))
    if len(below) and below[0] <= qp:
        before = range(max(below[0] - LOOK_BACK, 0), below[0])
        known = (qp for qp in before if qp in seen)
        enough = (qp for qp in known if seen[qp].vmaf >= threshold + _WELL_ABOVE)
        return range(max(enough, default=before.start), before.stop)
    return range(max(qp - LOOK_BACK + 1, 0), qp + 1)


def lowest_below(
    score: Callable[[int], float], threshold: float, finest: int = 0, coarsest: int = COARSEST_QP
) -> int | None:
    """The lowest QP in `finest` to `coarsest` whose score is below the threshold; None if none is.

    By bisection, then a look at the `LOOK_BACK` QPs before each crossing found. It errs only where
    scores fall below the threshold and rise above it again over more QPs than that.
    """
    low, level = finest, coarsest
    while low < level:
        middle = (low + level) // 2
        if score(middle) < threshold:
            level = middle
        else:
            low = middle + 1
    if score(level) >= threshold:
        return None
    while True:
        before = range(max(level - LOOK_BACK, finest), level)
        earlier = next((qp for qp in before if score(qp) < threshold), None)
        if earlier is None:
            return level
        level = earlier
