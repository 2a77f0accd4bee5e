"""The search for the quality at which a picture has a wanted VMAF, in few trial encodes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .scores import log_loss

# A trial this near to the wanted VMAF is good enough.
CLOSE = 0.5
_FAR = 1.0  # a VMAF that misses the wanted one by more is noted
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
        All trials in order, of which `select_trial` selects one.
    """
    trials: dict[int, Trial] = {}
    quality = clamp(first, allowed)
    while quality not in trials and len(trials) < _MOST_TRIALS:
        trials[quality] = encode(quality)
        if abs(trials[quality].vmaf - wanted) <= CLOSE:
            break
        quality = _choose_next(sorted(trials.values()), wanted, allowed)
    return [*trials.values()]


def select_trial(
    trials: Sequence[Trial], wanted: float, lowest_counts: bool
) -> tuple[Trial, list[str]]:
    """Select the trial to use, and make a note if it misses the wanted VMAF by far.

    Where VMAF jumps from one quality to the next, as with JPEGs that are encoded again, this is the
    lowest quality whose VMAF is above the wanted one.

    Args:
        lowest_counts: whether the lowest quality is used if even that is better than wanted, rather
            than the first trial. VMAF is blind to what happens to flat pictures, so it alone is no
            reason to go that low.
    """
    best = min(trials, key=lambda trial: abs(trial.vmaf - wanted))
    if abs(best.vmaf - wanted) <= _FAR:
        return best, []
    better = [trial for trial in trials if trial.vmaf > wanted]
    if not better:
        best = max(trials, key=lambda trial: trial.vmaf)
        return best, [f"no quality tried reaches VMAF {wanted:g}; the best is {best.vmaf:.1f}"]
    best = min(better, key=lambda trial: trial.quality)
    if len(better) < len(trials):
        return best, [f"VMAF is {best.vmaf:.1f}, as it jumps past {wanted:g} between qualities"]
    note = f"VMAF is {best.vmaf:.1f} even at quality {best.quality}"
    return (best, [note]) if lowest_counts else (trials[0], [f"{note}; the first is taken"])


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
            at_low, at_high = log_loss(low.vmaf), log_loss(high.vmaf)
            share = (at_low - log_loss(wanted)) / (at_low - at_high)
        between = range(low.quality + 1, high.quality)
        return clamp(low.quality + share * (high.quality - low.quality), between)
    nearest = min(trials, key=lambda trial: abs(trial.vmaf - wanted))
    fall = max(_LEAST_FALL, _FALL / nearest.quality)
    step = (log_loss(nearest.vmaf) - log_loss(wanted)) / fall
    # At least one step, and at most to the double or the half.
    step = float(np.clip(step, -nearest.quality / 2, nearest.quality))
    quality = nearest.quality + (max(step, 1) if step > 0 else min(step, -1))
    # The nearest need not be the last one: a step of quality may lower VMAF a little.
    if not better:
        quality = max(quality, trials[-1].quality + 1)
    if not worse:
        quality = min(quality, trials[0].quality - 1)
    return clamp(quality, allowed)


def clamp(quality: float, allowed: range) -> int:
    """Round a quality, and limit it to the allowed ones."""
    return min(max(round(quality), allowed[0]), allowed[-1])
