"""The search for the quality at which a picture has a wanted VMAF, in few trial encodes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# A trial this near to the wanted VMAF is good enough.
CLOSE = 0.5
# Interpolation finds most qualities in two or three trials; later ones halve what is left.
_INTERPOLATED, _MOST_TRIALS = 4, 12
# The fall of log(100 - VMAF) per step of quality: about constant above quality 30, and inversely
# proportional to the quality below, where a step changes more.
_LEAST_FALL, _FALL = 0.026, 0.77


class Trial(NamedTuple):
    """A picture encoded at a quality."""

    quality: int
    data: bytes  # the whole file
    vmaf: float


def find_quality(
    encode: Callable[[int], Trial], wanted: float, first: float, allowed: range
) -> list[Trial]:
    """Try qualities, beginning with `first`, until one has about the wanted VMAF.

    The search ends at a trial within `CLOSE` of it, or when there is no untried quality between
    one that is better and one that is worse.

    Args:
        encode: makes a trial at a quality.
        allowed: rising qualities to choose from.

    Returns:
        All trials in order; the one whose VMAF is nearest to the wanted one is to be used.
    """
    trials: dict[int, Trial] = {}
    quality = clamp(first, allowed)
    while quality not in trials and len(trials) < _MOST_TRIALS:
        trials[quality] = encode(quality)
        if abs(trials[quality].vmaf - wanted) <= CLOSE:
            break
        quality = _choose_next(sorted(trials.values()), wanted, allowed)
    return [*trials.values()]


def _choose_next(trials: list[Trial], wanted: float, allowed: range) -> int:
    """Choose the next quality between the nearest trials around `wanted`, or beyond all of them."""
    worse = [trial for trial in trials if trial.vmaf < wanted]
    better = [trial for trial in trials if trial.vmaf >= wanted]
    if worse and better and worse[-1].quality < better[0].quality:
        low, high = worse[-1], better[0]
        if high.quality - low.quality < 2:
            return low.quality
        share = 0.5
        if len(trials) <= _INTERPOLATED:
            share = (_loss(low.vmaf) - _loss(wanted)) / (_loss(low.vmaf) - _loss(high.vmaf))
        between = range(low.quality + 1, high.quality)
        return clamp(low.quality + share * (high.quality - low.quality), between)
    nearest = min(trials, key=lambda trial: abs(trial.vmaf - wanted))
    fall = max(_LEAST_FALL, _FALL / nearest.quality)
    step = (_loss(nearest.vmaf) - _loss(wanted)) / fall
    # At least one step, and at most to the double or the half.
    step = float(np.clip(step, -nearest.quality / 2, nearest.quality))
    quality = nearest.quality + (max(step, 1) if step > 0 else min(step, -1))
    # The nearest need not be the last one: a step of quality may lower VMAF a little.
    if not better:
        quality = max(quality, trials[-1].quality + 1)
    if not worse:
        quality = min(quality, trials[0].quality - 1)
    return clamp(quality, allowed)


def _loss(vmaf: float) -> float:
    return float(np.log(max(100 - vmaf, 0.01)))


def clamp(quality: float, allowed: range) -> int:
    """Round a quality, and limit it to the allowed ones."""
    return min(max(round(quality), allowed[0]), allowed[-1])
