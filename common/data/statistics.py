"""Statistics of a picture at its own size, from which a regression predicts its levels.

    luma ─┬─ gradients at three scales ─ percentiles ─────────────────────────┐
          └─ 8x8 blocks ─ DCT ─ quantization at several QPs ─┬─ information ──┼─ statistics
                                or JPEG qualities            ├─ detail ───────┤
                                                             └─ rate, error ──┘

VMAF is mostly a visual information fidelity (VIF) and a ratio of the detail that is left. Both are
estimated here from the transform coefficients alone, without prediction and deblocking, which is
much cheaper than an encode and its VMAF. For JPEG, what its coarser chroma does to luma is measured
too (`measure_clipping`).

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
from ..base.constants import QP, QUALITY
from ..base.errors import UserError
from .gradients import gradient_percentiles
from .split import Split

# In a dataset root, the statistics of the labelled pictures, in a file of this name; in a row of
# `prepare`, the key of a frame's statistics.
STATISTICS_FILE, STATISTICS = "statistics.npz", "statistics"
_MOST_BYTES = 10**9

# Part of the statistics' definition: a stored regression is valid for these values only.
QPS = (18, 26, 34, 42)
QUALITIES = (18, 30)
PER_QP = 10  # statistics per QP or quality
# Wider pictures are first reduced to this: their levels hardly differ, and hardly any picture that
# a regression is fitted on is wider.
WIDEST = 1920
PER_CHROMA = 3  # statistics per size in `_CHROMA_SIDES`
# Pixels per side that share their chroma: in 4:2:0, and where only the mean of a block is left.
_CHROMA_SIDES = (2, 16)
COUNT = 44 + PER_QP * len(QPS)  # for H.264
COUNTS = {
    QP: COUNT,
    QUALITY: 44 + PER_QP * len(QUALITIES) + PER_CHROMA * len(_CHROMA_SIDES),
}

_SIDE = 8  # of a block, in pixels
_LEAST = 3 * _SIDE  # smaller pictures are extended: three blocks make a window
_DEADZONE = np.float32(1 / 3)  # rounding offset of x264 in intra frames
_VISUAL_NOISE = 2.0  # variance of the eye's noise in VIF, in luma steps squared
_LIMITED_RANGE = np.float32(219 / 255)  # luma is encoded in this range (see `video.h264`)
# Steps of luma's coefficients at JPEG quality 50, row by row (T.81, table K.1, as in libjpeg).
_JPEG_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip


def write_statistics(root: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write ROOT/statistics.npz from the rows of `prepare` if all of them have statistics."""
    if all(STATISTICS in row for row in rows):
        numbers = np.array([row[STATISTICS] for row in rows], np.float32)
        arrays = {"files": np.array([row["file"] for row in rows]), STATISTICS: numbers}
        write_arrays(root / STATISTICS_FILE, arrays, overwrite=True)


def read_statistics(split: Split) -> np.ndarray:
    """Read the statistics of the pictures whose levels the frames of a split have.

    Returns:
        float32 [images, `COUNTS` of the levels' codec].

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
    codec = split.labels.codec if split.labels else QP
    if found.shape[1:] != (COUNTS.get(codec, COUNT),) or not np.isfinite(found).all():
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


def measure_statistics(rgb: np.ndarray, codec: str = QP) -> np.ndarray:
    """Measure the statistics of a picture, uint8 [height, width, 3]: float32 [`COUNTS`].

    Args:
        codec: QP or QUALITY, by which the picture is to be coded.
    """
    height, width = rgb.shape[:2]
    if width > WIDEST:
        size = WIDEST, max(round(height * WIDEST / width), 1)
        rgb = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    missing = [(0, max(_LEAST - side, 0)) for side in rgb.shape[:2]]
    rgb = np.pad(rgb, [*missing, (0, 0)], "edge")
    gradients = gradient_percentiles(rgb[..., ::-1])
    simulate = simulate_jpeg if codec == QUALITY else simulate_coding
    return np.hstack([gradients, simulate(rgb)]).astype(np.float32)


def simulate_coding(rgb: np.ndarray) -> np.ndarray:
    """Estimate what quantization leaves of a picture, uint8 [height, width, 3].

    Returns:
        float64 [`PER_QP` x QPs]: for each QP, the logarithms of the information that is lost, as
        a fraction, at four scales, of the detail that is lost in three octaves, of the fraction of
        coefficients that are not 0, of the bits per block, and of the mean squared error.
    """
    luma = np.asarray(Image.fromarray(rgb).convert("L"), np.float32) * _LIMITED_RANGE
    values, grid = _transform(luma)
    steps = [np.float32(0.625 * 2 ** (qp / 6)) for qp in QPS]  # of H.264
    return np.hstack([_simulate(values, grid, step, _DEADZONE) for step in steps])


def simulate_jpeg(rgb: np.ndarray) -> np.ndarray:
    """Do the same for JPEG's quantization at `QUALITIES`; append what its coarser chroma does.

    Returns:
        float64 [`PER_QP` x qualities + `PER_CHROMA` x 2].
    """
    planes = np.asarray(Image.fromarray(rgb).convert("YCbCr"), np.float32) - 128
    values, grid = _transform(planes[..., 0])
    clipped = [_transform(measure_clipping(planes, side))[0] for side in _CHROMA_SIDES]
    steps = [_find_jpeg_steps(quality) for quality in QUALITIES]
    simulated = [_simulate(values, grid, each, np.float32(0.5), clipped[0]) for each in steps]
    return np.hstack([*simulated, *(_compare(values, each) for each in clipped)])


def _find_jpeg_steps(quality: int) -> np.ndarray:
    """Find the quantization steps of luma at a quality, as libjpeg does: float32 [64, 1]."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (np.array(_JPEG_STEPS) * percent + 50) // 100
    return np.clip(steps, 1, 255)[_ORDER, np.newaxis].astype(np.float32)


def measure_clipping(planes: np.ndarray, side: int) -> np.ndarray:
    """Measure how luma changes if pixels share the mean chroma of squares.

    Where colours are saturated, luma and the mean chroma are often no RGB colour; decoders clip
    it, which changes luma.

    Args:
        planes: Y, Cb, Cr, each less 128, float32 [height, width, 3].
        side: of the squares, in pixels.

    Returns:
        float32 [height, width].
    """
    luma = planes[..., 0] + 128
    blue, red = (_share(planes[..., number], side) for number in (1, 2))
    weights = (0.299, 0.587, 0.114)  # of BT.601, as in JFIF
    colours = luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue
    shown = [weight * np.clip(each, 0, 255) for weight, each in zip(weights, colours)]
    return shown[0] + shown[1] + shown[2] - luma


def _share(chroma: np.ndarray, side: int) -> np.ndarray:
    """Average a plane [height, width] over squares, and enlarge it again."""
    height, width = chroma.shape
    squares = np.pad(chroma, ((0, -height % side), (0, -width % side)), "edge")
    rows, columns = (length // side for length in squares.shape)
    small = squares.reshape(rows, side, columns, side).mean(axis=(1, 3))
    size = columns * side, rows * side
    large = Image.fromarray(small).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(large)[:height, :width]


def _compare(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Compare a picture's coefficients with those of an error [64, blocks]: float64 [3]."""
    power = np.einsum("kb,kb->b", errors, errors) / _SIDE**2
    variance = np.einsum("kb,kb->b", values[1:], values[1:]) / _SIDE**2
    lost = np.log2(1 + power / (variance + _VISUAL_NOISE)).mean(dtype=np.float64)
    together = np.log2(1 + power / _VISUAL_NOISE).sum(dtype=np.float64)
    together /= np.log2(1 + variance / _VISUAL_NOISE).sum(dtype=np.float64) + 1e-3
    return np.array([np.log(power.mean(dtype=np.float64) + 0.01), lost, together])


def _simulate(
    values: np.ndarray,
    grid: tuple[int, int],
    step: np.ndarray | np.float32,
    rounding: np.float32,
    added: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Quantize coefficients [64, blocks], add others, and compute the statistics of one QP."""
    indices = np.floor(np.abs(values) / step + rounding)
    coded = np.copysign(indices * step, values) + added
    fractions = [_measure_information(values[some], coded[some]) for some in _BELOW]
    means = [(each[0] / _SIDE).reshape(grid) for each in (values, coded)]
    fractions.append(_measure_information_of_means(*means))
    kept = np.clip(coded * np.sign(values), 0, np.abs(values))
    fractions += [_pool(kept[band]) / (_pool(values[band]) + 1e-3) for band in _BANDS]
    lost = np.clip(1 - np.array(fractions), 0.003, None)
    rate = (indices[1:] > 0).mean()
    bits = np.log2(1 + indices).sum(axis=0).mean()
    error = np.square(values - coded).mean()
    return np.log([*lost, rate + 0.01, bits + 0.01, error + 0.01])


def _transform(luma: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Compute the DCT of the blocks of a plane [height, width].

    Borders are repeated to fill the last blocks.

    Returns:
        float32 [64, blocks], and the blocks' rows and columns.
    """
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
