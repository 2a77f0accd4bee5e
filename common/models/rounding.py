"""Rounding kernels so that the errors cancel."""

from collections.abc import Callable

import numpy as np


def rounded(taps: np.ndarray, to_grid: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`taps` [places, ...] on the grid of `to_grid`, each making up for the errors before it.

    Neighbouring places see nearly the same, so the errors of neighbouring taps cancel in their sum,
    where independent ones would shift whole channels.
    """
    on_grid = np.empty_like(taps)
    error = np.zeros_like(taps[0])
    for tap, value in zip(taps, on_grid):
        value[:] = to_grid(tap + error)
        error = tap + error - value
    return on_grid
