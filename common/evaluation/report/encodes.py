"""Encodes of frames at predicted levels, and their size and quality."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...base.parallel import parallel_map
from ...data.pictures import read_rgb
from ...data.split import Split
from ...datasets.proxy_labels import find_lowest_below
from ...video.frame_codecs import Codec
from ..cache import cache_file, fetch

METRICS = ("psnr", "ssim", "vmaf")
# The PSNR of a lossless frame is infinite, but differences need a number.
LOSSLESS_DB = 100.0


class Encode(NamedTuple):
    """A frame encoded at a level: its stream, size and quality."""

    stream: bytes
    bits: int
    bits_per_pixel: float
    psnr: float
    """dB, of luma."""
    ssim: float
    vmaf: float


def read_even(image: Path) -> np.ndarray:
    """Read the RGB pixels of an image without an odd last row or column, as 4:2:0 requires.

    Raises:
        UserError: the image cannot be read.
    """
    rgb = read_rgb(image)
    height, width = (side // 2 * 2 for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[:height, :width])


def encode_image(image: Path, level: int, codec: Codec, cache: Path) -> Encode:
    """Encode an image at a level and measure it, or take both from the `cache`.

    Raises:
        UserError: as `read_even`.
    """

    def compute() -> tuple[Any, ...]:
        rgb = read_even(image)
        stream = codec.encode(rgb, level)
        measures = codec.measure(rgb, stream)
        pixels = rgb.shape[0] * rgb.shape[1]
        return np.frombuffer(stream, np.uint8), pixels, *(measures[each] for each in METRICS)

    file = cache_file(cache, "encodes", codec.version(), level, image)
    data, *numbers = fetch(file, ("stream", "pixels", *METRICS), compute)
    stream, (pixels, psnr, ssim, vmaf) = data.tobytes(), map(float, numbers)
    bits = 8 * len(stream)
    return Encode(stream, bits, bits / pixels, min(psnr, LOSSLESS_DB), ssim, vmaf)


def measure_encodes(
    split: Split, levels: np.ndarray | float, cache: Path, desc: str
) -> pd.DataFrame:
    """Encode the images of `split` and measure them: a row per image, a column per measure.

    Args:
        levels: [images], or one for all; rounded to the codec's levels.
        desc: the name of the levels in the progress bar.
    """

    def measure(pair: tuple[Path, float]) -> tuple[float, ...]:
        image, level = pair
        return encode_image(image, split.codec.nearest(level), split.codec, cache)[1:]

    pairs = zip(split.images, np.broadcast_to(levels, len(split.images)))
    rows = parallel_map(measure, pairs, f"encoding, {desc}")
    return pd.DataFrame(rows, columns=list(Encode._fields[1:]))


def find_best_constant(
    measure: Callable[[int], pd.DataFrame], vmaf: float, levels: range
) -> tuple[float, float]:
    """Find the constant level with the mean VMAF `vmaf`, and its mean bits per frame.

    Integer levels seldom give exactly that VMAF. Bisection finds the coarsest one that reaches it;
    between that and the next coarser one, the level and the logarithm of the mean bits are
    interpolated linearly over the mean VMAF. If no level reaches it, the nearest level is taken.

    Args:
        measure: returns `measure_encodes` of all frames at one level.
        levels: all levels, from the finest to the coarsest.
    """
    coarsest_first = levels[::-1]
    # `find_lowest_below` wants scores below a bound, but here VMAF must be at least `vmaf`.
    bound = np.nextafter(-vmaf, np.inf)
    index = find_lowest_below(
        lambda index: -measure(coarsest_first[index]).vmaf.mean(), bound, 0, len(levels) - 1
    )
    finer = len(levels) - 1 if index is None else index
    sides = [coarsest_first[max(finer - 1, 0)], coarsest_first[finer]]
    means = [measure(level).mean() for level in sides]
    scores = [mean.vmaf for mean in means]
    bits = np.exp(np.interp(vmaf, scores, np.log([mean.bits for mean in means])))
    return float(np.interp(vmaf, scores, sides)), float(bits)
