"""Proxy labels: the lowest QPs at which VMAF falls below three thresholds.

They take the place of viewers' judgements where there are none, and must be called proxy labels
wherever they appear. On photographs the default thresholds give about the mean levels of VideoSet's
viewers.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..base.constants import COARSEST_QP
from ..base.errors import UserError, as_result
from ..models.labels import THRESHOLDS
from ..video import h264, quality
from ..video.frame_codecs import round_half_up

# VMAF is not quite monotonic in QP: this many QPs below a crossing are checked for an earlier one.
# On 108 photographs, checking 2 gives the result of a full sweep on all; 1 misses by 2 QP on one.
LOOK_BACK = 3
# If the VMAF at a QP exceeds the threshold by this much, no finer QP is below the threshold.
_WELL_ABOVE = 0.3
# QPs to measure first: near the levels of most photographs.
_FIRST = (26, 30, 34)


class Level(NamedTuple):
    """A level of a frame: a QP or JPEG quality, the frame's stream at it, and its VMAF."""

    coded: int  # the QP or JPEG quality
    stream: bytes
    vmaf: float
    exact: float = math.nan  # where VMAF is expected to be the threshold: at most a QP finer


class Scale(NamedTuple):
    """The steps of a codec, from 0, the finest: QPs, or what a JPEG quality lacks to 100."""

    coarsest: int
    # The rise per step of log(100 - VMAF), nearly linear in QP, for extrapolation.
    rise: float
    describe: Callable[[int], str]


_QPS = Scale(COARSEST_QP, 0.11, "QP {}".format)


def find_levels(rgb: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> list[Level]:
    """Find for each threshold the lowest QP at which the frame's VMAF is below it.

    Args:
        rgb: uint8 [height, width, 3], height and width even.
        thresholds: VMAF, 0 to 100, falling.

    Raises:
        UserError: VMAF stays at or above a threshold up to the coarsest QP, as on flat frames, or
            is already below it at QP 0.
    """
    (found,) = find_levels_of_each([rgb], thresholds)
    if isinstance(found, UserError):
        raise found
    return found


def find_levels_of_each(
    frames: Sequence[np.ndarray],
    thresholds: Sequence[float] = THRESHOLDS,
    whole_qp: bool = True,
) -> list[list[Level] | UserError]:
    """Find the levels of several frames of one size, or an error for a frame without them.

    Each run of x264 and libvmaf measures all frames at several QPs: those at which the thresholds
    are expected to be crossed, and up to `LOOK_BACK` finer ones. On 1083 crops of 361 photographs
    this found the same levels as measuring all QPs, with 11 QPs per crop in two or three runs.
    """
    measured: list[dict[int, Level]] = [{} for _ in frames]
    asked = [set(_FIRST) for _ in frames]
    while any(asked):
        for known, levels in zip(measured, _measure(frames, [sorted(qps) for qps in asked])):
            known.update((level.coded, level) for level in levels)
        asked = [
            {qp for threshold in thresholds for qp in choose_steps(known, threshold, _QPS)}
            - known.keys()
            for known in measured
        ]
    return [as_result(find_crossings, known, thresholds, whole_qp, _QPS) for known in measured]


def find_crossings(
    known: dict[int, Level], thresholds: Sequence[float], whole: bool, scale: Scale
) -> list[Level]:
    """Find for each threshold the level at the finest step below it.

    Args:
        known: by step; those that `choose_steps` asks for.
        whole: whether to return that level, instead of the one nearest to the exact step.

    Returns:
        The levels; `exact` is a step.

    Raises:
        UserError: there is no such step, or it is the finest one.
    """
    levels = []
    for threshold in thresholds:
        step = min((step for step, level in known.items() if level.vmaf < threshold), default=None)
        if step is None:
            coarsest = known[scale.coarsest].vmaf
            raise UserError(f"VMAF stays at {coarsest:.1f} up to {scale.describe(scale.coarsest)}")
        if step == 0:
            raise UserError(f"VMAF is below {threshold:g} even at {scale.describe(0)}, the finest")
        # The search ends only when the step before a crossing is known, too.
        losses = [_log_loss(known[near].vmaf) for near in (step - 1, step)]
        exact = float(np.interp(_log_loss(threshold), losses, (step - 1, step)))
        levels.append(known[step if whole else round_half_up(exact)]._replace(exact=exact))
    return levels


def _log_loss(vmaf: float | np.ndarray) -> np.ndarray:
    """Compute what is nearly linear in QP; the VMAF of equal frames is 100."""
    return np.log(np.maximum(100 - np.asarray(vmaf), 1e-6))


def _measure(frames: Sequence[np.ndarray], asked: list[list[int]]) -> list[list[Level]]:
    """Encode and measure each frame at each of its QPs."""
    levels: list[list[Level]] = [[] for _ in frames]

    def measure(indices: list[int], qps: list[list[int]], streams: list[list[bytes]]) -> None:
        scores = quality.score_streams([frames[index] for index in indices], streams)
        for index, *of_frame in zip(indices, qps, streams, scores):
            levels[index] += [Level(*each) for each in zip(*of_frame)]

    together = [[qp for qp in qps if qp >= h264.FINEST_OF_EACH] for qps in asked]
    indices = [index for index, qps in enumerate(together) if qps]
    if indices:
        several = [together[index] for index in indices]
        streams = h264.encode_each([frames[index] for index in indices], several)
        measure(indices, several, streams)
    # QPs too fine for `encode_each` are encoded and measured one by one.
    for index, qps in enumerate(asked):
        for qp in (qp for qp in qps if qp < h264.FINEST_OF_EACH):
            measure([index], [[qp]], [[h264.encode(frames[index], qp)]])
    return levels


def choose_steps(known: dict[int, Level], threshold: float, scale: Scale) -> range:
    """Choose the steps to measure next to find the finest one below the threshold."""
    steps = np.array(sorted(known))
    scores = np.array([known[step].vmaf for step in steps])
    below = steps[scores < threshold]
    losses = np.maximum.accumulate(_log_loss(scores))  # VMAF is not quite monotonic
    loss = _log_loss(threshold)
    expected = np.interp(loss, losses, steps)
    expected += (min(loss - losses[0], 0) + max(loss - losses[-1], 0)) / scale.rise
    step = int(np.clip(np.ceil(expected), 0, scale.coarsest))
    if len(below) and below[0] <= step:
        before = range(max(below[0] - LOOK_BACK, 0), below[0])
        enough = (
            step for step in before if step in known and known[step].vmaf >= threshold + _WELL_ABOVE
        )
        return range(max(enough, default=before.start), before.stop)
    return range(max(step - LOOK_BACK + 1, 0), step + 1)


def find_lowest_below(
    score: Callable[[int], float], threshold: float, finest: int = 0, coarsest: int = COARSEST_QP
) -> int | None:
    """Find the lowest QP in `finest` to `coarsest` with a score below the threshold, if any.

    Bisection is followed by a check of the `LOOK_BACK` QPs before each crossing. It errs only if
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
