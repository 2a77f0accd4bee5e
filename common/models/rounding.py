"""Rounding of kernels, in which errors cancel."""

from collections.abc import Callable

import numpy as np


def round_taps(taps: np.ndarray, round_tap: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Round each of `taps` [taps, ...] by `round_tap`, and carry its error over to the next.

    Neighbouring taps are multiplied by nearly equal inputs, so their errors cancel in the sum;
    independent errors would shift whole channels.
    """
    rounded = np.empty_like(taps)
    error = np.zeros_like(taps[0])
    for tap, value in zip(taps, rounded):
        value[:] = round_tap(tap + error)
        error = tap + error - value
    return rounded
