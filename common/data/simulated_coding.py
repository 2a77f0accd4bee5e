"""Simulated coding of a picture: what quantization leaves of its blocks, without an encode.

    luma ─ 8x8 blocks ─ DCT ─ quantization at several QPs ─┬─ information
                              or JPEG qualities            ├─ detail
                                                           └─ rate, error

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
from typing import NamedTuple

import numpy as np
import scipy.fft
from PIL import Image

# Part of the statistics' definition: a stored regression is valid for these values only.
QPS = (18, 26, 34, 42)
QUALITIES = (18, 30)
PER_QP = 10  # statistics per QP or quality
PER_CHROMA = 3  # statistics per size in `CHROMA_SIDES`
# Pixels per side that share their chroma: in 4:2:0, and where only the mean of a block is left.
CHROMA_SIDES = (2, 16)

_SIDE = 8  # of a block, in pixels
_AT_ONCE = 2048  # blocks; their coefficients fit into a processor's cache
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


def _order_octaves() -> tuple[np.ndarray, list[int]]:
    """Order the coefficients of a flattened block by octave; also return the octaves' starts and
    end: 0 (the mean), 1, 4, 16, 64.
    """
    number = np.arange(_SIDE)
    higher = np.maximum(*np.meshgrid(number, number)).ravel()
    return np.argsort(higher, kind="stable"), [0, 1, 4, 16, 64]


_ORDER, _OCTAVES = _order_octaves()
_BANDS = [slice(start, end) for start, end in itertools.pairwise(_OCTAVES[1:])]
_BELOW = _OCTAVES[2:]  # VIF at a coarser scale sees fewer of them


def simulate_coding(rgb: np.ndarray) -> np.ndarray:
    """Estimate what quantization leaves of a picture, uint8 [height, width, 3].

    Returns:
        float64 [`PER_QP` x QPs]: for each QP, the logarithms of the information that is lost, as
        a fraction, at four scales, of the detail that is lost in three octaves, of the fraction of
        coefficients that are not 0, of the bits per block, and of the mean squared error.
    """
    luma = np.asarray(Image.fromarray(rgb).convert("L"), np.float32) * _LIMITED_RANGE
    steps = [np.float32(0.625 * 2 ** (qp / 6)) for qp in QPS]  # of H.264
    return _simulate(*_transform(luma), steps, _DEADZONE)


def simulate_jpeg(rgb: np.ndarray) -> np.ndarray:
    """Do the same for JPEG's quantization at `QUALITIES`; append what its coarser chroma does.

    Returns:
        float64 [`PER_QP` x qualities + `PER_CHROMA` x 2].
    """
    planes = np.asarray(Image.fromarray(rgb).convert("YCbCr"), np.float32) - 128
    values, grid = _transform(planes[..., 0])
    clipped = [_transform(measure_clipping(planes, side))[0] for side in CHROMA_SIDES]
    steps = [_find_jpeg_steps(quality) for quality in QUALITIES]
    simulated = _simulate(values, grid, steps, np.float32(0.5), clipped[0])
    return np.hstack([simulated, *(_compare(values, each) for each in clipped)])


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


class _Coded(NamedTuple):
    """What one step of quantization leaves of a picture's blocks."""

    # Variances of the blocks, covariances with what is coded, and variances of the latter, each
    # of the coefficients `_BELOW` each scale: float32 [3, scales, blocks].
    moments: np.ndarray
    means: np.ndarray  # of what is coded of each block: float32 [blocks]
    # How many coefficients are not 0, their bits, the squared errors and, of each octave, the cubes
    # of what is kept: float64 [3 + octaves].
    sums: np.ndarray


def _simulate(
    values: np.ndarray,
    grid: tuple[int, int],
    steps: Sequence[np.ndarray | np.float32],
    rounding: np.float32,
    added: np.ndarray | None = None,
) -> np.ndarray:
    """Quantize coefficients [64, blocks] by each of the steps, add others, compute the statistics.

    Returns:
        float64 [`PER_QP` x steps].
    """
    count, scales = values.shape[1], len(_BELOW)
    coded = [
        _Coded(
            np.empty((3, scales, count), np.float32),
            np.empty(count, np.float32),
            np.zeros(3 + len(_BANDS)),
        )
        for _ in steps
    ]
    cubes = np.zeros(len(_BANDS))
    for first in range(0, count, _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        others = None if added is None else added[:, some]
        cubes += _quantize(
            values[:, some],
            steps,
            rounding,
            others,
            [
                each._replace(moments=each.moments[..., some], means=each.means[some])
                for each in coded
            ],
        )
    original = (values[0] / _SIDE).reshape(grid)
    return np.hstack([_summarize(original, cubes, each) for each in coded])


def _quantize(
    values: np.ndarray,
    steps: Sequence[np.ndarray | np.float32],
    rounding: np.float32,
    added: np.ndarray | None,
    out: Sequence[_Coded],
) -> np.ndarray:
    """Quantize the coefficients of some blocks [64, blocks] into `out`, an item per step.

    Returns:
        The sums of their cubes, float64 [octaves].
    """
    # All signs are those relative to the picture's own coefficients.
    signs, magnitudes = np.copysign(np.float32(1), values), np.abs(values)
    variances = _average_products(magnitudes, magnitudes)
    for step, each in zip(steps, out):
        indices = np.floor(magnitudes / step + rounding)
        coded = indices * step
        if added is not None:
            coded += added * signs
        covariances = _average_products(magnitudes, coded)
        each.moments[:] = variances, covariances, _average_products(coded, coded)
        each.means[:] = coded[0] * signs[0] / _SIDE
        count, bits = np.count_nonzero(indices[1:] > 0), np.log2(1 + indices).sum()
        kept = np.minimum(np.maximum(coded, 0), magnitudes)
        each.sums[:] += count, bits, np.square(magnitudes - coded).sum(), *_sum_cubes(kept)
    return _sum_cubes(magnitudes)


def _summarize(means: np.ndarray, cubes: np.ndarray, coded: _Coded) -> np.ndarray:
    """Compute the statistics of one step: float64 [`PER_QP`].

    Args:
        means: of the picture's blocks [rows, columns].
        cubes: sums of the cubes of its coefficients [octaves].
    """
    fractions = [_fidelity(*of_scale) for of_scale in coded.moments.swapaxes(0, 1)]
    fractions.append(_measure_information_of_means(means, coded.means.reshape(means.shape)))
    # The detail measure pools by the cube root of the sum of cubes.
    fractions += [*(np.cbrt(coded.sums[3:]) / (np.cbrt(cubes) + 1e-3))]
    lost = np.clip(1 - np.array(fractions), 0.003, None)
    rest = coded.sums[:3] / means.size / (_SIDE**2 - 1, 1, _SIDE**2)
    return np.log([*lost, *(rest + 0.01)])


def _average_products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Average the products of coefficients [64, blocks], `_BELOW` each scale: [scales, blocks].

    By Parseval's theorem, these are the variances and covariance of pixels.
    """
    octaves = [np.einsum("kb,kb->b", one[band], other[band]) for band in _BANDS]
    return np.cumsum(octaves, axis=0) / _SIDE**2


def _sum_cubes(magnitudes: np.ndarray) -> np.ndarray:
    """Sum the cubes of magnitudes [64, blocks]: float64 [octaves]."""
    cubes = [np.einsum("kb,kb,kb->b", *3 * [magnitudes[band]]).sum() for band in _BANDS]
    return np.array(cubes, np.float64)


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
