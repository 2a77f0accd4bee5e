"""Gradient statistics of frames: the features of the baselines that a network has to beat."""

import numpy as np
from PIL import Image

PERCENTILES = (10, 25, 50, 75, 90, 95, 99)
REDUCTIONS = (1, 2, 4)  # factors that the frame is reduced by
# Percentiles of larger pictures are those of evenly spaced rows; 640x352 is within the limit.
_MOST_PIXELS = 2**18


def gradient_percentiles(frame: np.ndarray) -> np.ndarray:
    """Measure how busy a frame is: float64 [44].

    The features are the logarithms of percentiles of the gradient's length and of the Laplacian's
    magnitude, at each of `REDUCTIONS`, and the mean and standard deviation of luma.

    Args:
        frame: blue-green-red, 0 to 255, [height, width, 3].
    """
    luma = Image.fromarray(frame[..., ::-1].astype(np.uint8)).convert("L")
    numbers = []
    for factor in REDUCTIONS:
        y = np.asarray(luma.reduce(factor), np.float32)
        gradient = np.hypot(np.diff(y, axis=0)[:, :-1], np.diff(y, axis=1)[:-1])
        around = y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:]
        for magnitude in (gradient, np.abs(4 * y[1:-1, 1:-1] - around)):
            rows = magnitude[:: -(-magnitude.size // _MOST_PIXELS)]
            numbers += [*np.log(np.percentile(rows, PERCENTILES) + 0.5)]
    y = np.asarray(luma, np.float64)
    return np.array([*numbers, y.mean(), y.std()])
