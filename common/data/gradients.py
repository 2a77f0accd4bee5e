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
        for measure, border in ((_gradient, 1), (_laplacian, 2)):
            height, width = (side - border for side in y.shape)
            rows = np.arange(0, height, -(-height * width // _MOST_PIXELS))
            numbers += [*np.log(np.percentile(measure(y, rows), PERCENTILES) + 0.5)]
    counts, levels = luma.histogram(), np.arange(256)
    mean = np.average(levels, weights=counts)
    return np.array([*numbers, mean, np.average((levels - mean) ** 2, weights=counts) ** 0.5])


def _gradient(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Compute the gradient's length in some rows of a plane [height, width]."""
    above = y[rows]
    return np.hypot((y[rows + 1] - above)[:, :-1], np.diff(above, axis=1))


def _laplacian(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Compute the Laplacian's magnitude in some rows of a plane [height, width], less the first."""
    above, middle, below = y[rows], y[rows + 1], y[rows + 2]
    around = above[:, 1:-1] + below[:, 1:-1] + middle[:, :-2] + middle[:, 2:]
    return np.abs(4 * middle[:, 1:-1] - around)
