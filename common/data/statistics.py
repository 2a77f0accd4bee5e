"""Statistics of a picture at its own size, from which a regression predicts its levels.

    luma ─┬─ gradients at three scales ─ percentiles ─────────────────────────┐
          └─ 8x8 blocks ─ DCT ─ quantization at several QPs ─┬─ information ──┼─ statistics
                                                             ├─ detail ───────┤
                                                             └─ rate, error ──┘

VMAF is mostly a visual information fidelity (VIF) and a ratio of the detail that is left. Both are
estimated here from the transform coefficients alone, without prediction and deblocking, which is
much cheaper than an encode and its VMAF.

Nothing here may use BLAS: OpenBLAS hangs if another thread starts a process (ffmpeg) meanwhile.

Sources: Sheikh and Bovik, "Image Information and Visual Quality", 2006 (VIF); Li et al., "Image
Quality Assessment by Separately Evaluating Detail Losses and Additive Impairments", 2011 (detail).
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from PIL import Image

from ..base.arrays import read_arrays, write_arrays
from ..base.errors import UserError
from .gradients import gradient_percentiles
from .split import Split

# In a dataset root, the statistics of the labelled pictures, in a file of this name; in a row of
# `prepare`, the key of a frame's statistics.
STATISTICS_FILE, STATISTICS = "statistics.npz", "statistics"
_MOST_BYTES = 10**9

# Part of the statistics' definition: a stored regression is valid for these values only.
QPS = (18, 26, 34, 42)
PER_QP = 10  # statistics per QP
COUNT = 44 + PER_QP * len(QPS)

_SIDE = 8  # of a block, in pixels
_LEAST = 3 * _SIDE  # smaller pictures are extended: three blocks make a window
_DEADZONE = np.float32(1 / 3)  # rounding offset of x264 in intra frames
_VISUAL_NOISE = 2.0  # variance of the eye's noise in VIF, in luma steps squared
_LIMITED_RANGE = np.float32(219 / 255)  # luma is encoded in this range (see `video.h264`)


def write_statistics(root: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write ROOT/statistics.npz from the rows of `prepare` if all of them have statistics."""
    if all(STATISTICS in row for row in rows):
        numbers = np.array([row[STATISTICS] for row in rows], np.float32)
        arrays = {"files": np.array([row["file"] for row in rows]), STATISTICS: numbers}
        write_arrays(root / STATISTICS_FILE, arrays, overwrite=True)


def read_statistics(split: Split) -> np.ndarray:
    """Read the statistics of the pictures whose levels the frames of a split have.

    Returns:
        float32 [images, `COUNT`].

    Raises:
        UserError: the root has none, or they are damaged or of another version of this program.
    """
    path = split.root / STATISTICS_FILE
    try:
        arrays = read_arrays(path, _MOST_BYTES)
        of_file = dict(zip(arrays["files"], arrays[STATISTICS]))
        found = np.array([of_file[f"{split.name}/{name}"] for name in split.names], np.float32)
    except FileNotFoundError:
        remedy = "only roots that `prepare photos` made have it"
        raise UserError(f"{path}: no such file; {remedy}") from None
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: damaged, or of other images ({error})") from None
    if found.shape[1:] != (COUNT,) or not np.isfinite(found).all():
        raise UserError(f"{path}: not the statistics of this version; prepare the root again")
    return found


def _order_octaves() -> tuple[np.ndarray, list[int]]:
    """Order the coefficients of a flattened block by octave; also return the octaves' starts and
    end: 0 (the mean), 1, 4, 16, 64.
    """
    number = np.arange(_SIDE)
    higher = np.maximum(*np.meshgrid(number, number)).ravel()
    return np.argsort(higher, kind="stable"), [0, 1, 4, 16, 64]


_ORDER, _OCTAVES = _order_octaves()
_BANDS = [slice(start, end) for start, end in itertools.pairwise(_OCTAVES[1:])]
_BELOW = [slice(1, end) for end in _OCTAVES[2:]]  # VIF at a coarser scale sees fewer of them


def measure_statistics(rgb: np.ndarray) -> np.ndarray:
    """Measure the statistics of a picture, uint8 [height, width, 3]: float32 [`COUNT`]."""
    missing = [(0, max(_LEAST - side, 0)) for side in rgb.shape[:2]]
    rgb = np.pad(rgb, [*missing, (0, 0)], "edge")
    gradients = gradient_percentiles(rgb[..., ::-1])
    return np.hstack([gradients, simulate_coding(rgb)]).astype(np.float32)


def simulate_coding(rgb: np.ndarray) -> np.ndarray:
    """Estimate what quantization leaves of a picture, uint8 [height, width, 3].

    Returns:
        float64 [`PER_QP` x QPs]: for each QP, the logarithms of the information that is lost, as
        a fraction, at four scales, of the detail that is lost in three octaves, of the fraction of
        coefficients that are not 0, of the bits per block, and of the mean squared error.
    """
    values, grid = _transform(rgb)
    return np.hstack([_simulate(values, grid, qp) for qp in QPS])


def _simulate(values: np.ndarray, grid: tuple[int, int], qp: int) -> np.ndarray:
    step = np.float32(0.625 * 2 ** (qp / 6))  # of H.264
    indices = np.floor(np.abs(values) / step + _DEADZONE)
    coded = np.copysign(indices * step, values)
    fractions = [_measure_information(values[some], coded[some]) for some in _BELOW]
    means = [(each[0] / _SIDE).reshape(grid) for each in (values, coded)]
    fractions.append(_measure_information_of_means(*means))
    kept = np.minimum(np.abs(coded), np.abs(values))
    fractions += [_pool(kept[band]) / (_pool(values[band]) + 1e-3) for band in _BANDS]
    lost = np.clip(1 - np.array(fractions), 0.003, None)
    rate = np.count_nonzero(indices[1:]) / indices[1:].size
    bits = np.log2(1 + indices).sum(axis=0).mean()
    error = np.square(values - coded).mean()
    return np.log([*lost, rate + 0.01, bits + 0.01, error + 0.01])


def _transform(rgb: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Compute the DCT of the luma's blocks: float32 [64, blocks], and the blocks' rows and columns.

    Borders are repeated to fill the last blocks.
    """
    luma = np.asarray(Image.fromarray(rgb).convert("L"), np.float32) * _LIMITED_RANGE
    height, width = luma.shape
    rows, columns = (-(-side // _SIDE) for side in (height, width))
    missing = (0, rows * _SIDE - height), (0, columns * _SIDE - width)
    blocks = np.pad(luma, missing, "edge").reshape(rows, _SIDE, columns, _SIDE)
    values = scipy.fft.dctn(blocks, axes=(1, 3), norm="ortho")
    return values.transpose(1, 3, 0, 2).reshape(_SIDE**2, -1)[_ORDER], (rows, columns)


def _measure_information(values: np.ndarray, coded: np.ndarray) -> float:
    """Compute the fidelity of blocks, given by some of their coefficients [coefficients, blocks].

    By Parseval's theorem, the sums of their products are the variances and covariance of pixels.
    """

    def average(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.einsum("kb,kb->b", one, other) / _SIDE**2

    return _fidelity(average(values, values), average(values, coded), average(coded, coded))


def _measure_information_of_means(means: np.ndarray, coded: np.ndarray) -> float:
    """Compute the fidelity of windows of 3x3 blocks, given by the blocks' means [rows, columns]."""

    def average(values: np.ndarray) -> np.ndarray:
        values = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
        return (values[:-2] + values[1:-1] + values[2:]) / 9

    def covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return average(one * other) - average(one) * average(other)

    variances = [np.maximum(covariance(each, each), 0) for each in (means, coded)]
    return _fidelity(variances[0], covariance(means, coded), variances[1])


def _fidelity(variance: np.ndarray, covariance: np.ndarray, coded: np.ndarray) -> float:
    """Compute the fraction of the information that is left, as VIF does.

    Args:
        variance, covariance, coded: of each block or window, the variance of the picture, its
            covariance with what is left of it, and the variance of the latter.
    """
    gain = np.maximum(covariance / (variance + 1e-6), 0)
    noise = np.maximum(coded - gain * covariance, 1e-6) + _VISUAL_NOISE
    left = np.log2(1 + gain * gain * variance / noise).sum(dtype=np.float64)
    return left / (np.log2(1 + variance / _VISUAL_NOISE).sum(dtype=np.float64) + 1e-3)


def _pool(values: np.ndarray) -> float:
    """Compute the cube root of the sum of the magnitudes' cubes, as the detail measure does."""
    magnitudes = np.abs(values)
    cubes = np.einsum("kb,kb,kb->b", magnitudes, magnitudes, magnitudes)
    return float(np.cbrt(cubes.sum(dtype=np.float64)))
