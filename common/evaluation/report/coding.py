"""What predicted levels are worth: frames coded at them, measured, and kept between runs."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...base.arrays import write_arrays
from ...base.files import checksum
from ...base.parallel import parallel_map
from ...data.pictures import read_rgb
from ...data.split import Split
from ...datasets.objective import lowest_below
from ...video import h264
from ...video.frame_codecs import Codec
from ..results import kept

METRICS = ("psnr", "ssim", "vmaf")
# PSNR of a frame that lost nothing is infinite; differences need a number.
LOSSLESS_DB = 100.0


class Encode(NamedTuple):
    """A frame's stream at a level, what it takes, and how near it comes."""

    stream: bytes
    bits: int
    bits_per_pixel: float
    psnr: float
    """dB, of luma."""
    ssim: float
    vmaf: float


def read_even(image: Path) -> np.ndarray:
    """The RGB pixels of an image; an odd last row or column is left out, as 4:2:0 wants it.

    Raises:
        UserError: the image cannot be read.
    """
    rgb = read_rgb(image)
    height, width = (side // 2 * 2 for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[:height, :width])


def encoded(image: Path, level: int, codec: Codec, cache: Path) -> Encode:
    """An image coded at a level and measured, from the folder `cache` where it has been before.

    A file there is named by all that its content depends on: the bytes of the image, the level, and
    the tools with their versions. It is written whole or not at all, so a killed run leaves only
    what the next one can use.

    Raises:
        UserError: as `read_even`.
    """
    key = repr((codec.version(), level)).encode()
    name = checksum([key, image.read_bytes()])
    path = cache / "encodes" / name[:2] / f"{name}.npz"
    arrays = kept(path, "stream", "pixels", *METRICS)
    if not arrays:
        rgb = read_even(image)
        coded = codec.encode(rgb, level)
        pixels = rgb.shape[0] * rgb.shape[1]
        measures = codec.measure(rgb, coded)
        entries = {"stream": np.frombuffer(coded, np.uint8), "pixels": pixels, **measures}
        write_arrays(path, entries, overwrite=True)
        arrays = kept(path, "stream", "pixels", *METRICS)
    stream, (pixels_kept, psnr, ssim, vmaf) = arrays[0].tobytes(), map(float, arrays[1:])
    bits = h264.bits(stream)
    return Encode(stream, bits, bits / pixels_kept, min(psnr, LOSSLESS_DB), ssim, vmaf)


def measured(split: Split, levels: np.ndarray | float, cache: Path, doing: str) -> pd.DataFrame:
    """Bits, bits per pixel, PSNR (dB), SSIM and VMAF of the images, a row per image.

    `levels` [images], or one for all, are rounded to those that can be coded; `doing` says whose
    they are.
    """

    def measures(pair: tuple[Path, float]) -> tuple[float, ...]:
        return encoded(pair[0], split.codec.nearest(pair[1]), split.codec, cache)[1:]

    of_images = np.broadcast_to(levels, len(split.images))
    rows = parallel_map(measures, zip(split.images, of_images), f"coding, {doing}")
    return pd.DataFrame(rows, columns=list(Encode._fields[1:]))


def best_constant(
    of_constant: Callable[[int], pd.DataFrame], vmaf: float, levels: range
) -> tuple[float, float]:
    """The one level for all frames that gives the mean VMAF `vmaf`, and its mean bits per frame.

    Whole levels seldom give that VMAF. Bisection finds the coarsest whole level whose mean VMAF
    reaches it; between that and the next coarser one, the level and the logarithm of the mean bits
    are interpolated linearly over the mean VMAF. Where no level reaches it, it is the finest.

    Args:
        of_constant: what `measured` gives where all frames are coded at a level.
        levels: from the finest to the coarsest.
    """
    means: dict[int, pd.Series] = {}

    def mean(back: int) -> pd.Series:
        if back not in means:
            means[back] = of_constant(levels[-1 - back]).mean()
        return means[back]

    # Counted back from the coarsest; the search asks for "below", and wanted is "at least".
    least = np.nextafter(-vmaf, np.inf)
    reached = lowest_below(lambda back: -mean(back).vmaf, least, 0, len(levels) - 1)
    if not reached:
        back = 0 if reached == 0 else len(levels) - 1
        return float(levels[-1 - back]), float(mean(back).bits)
    finer, coarser = mean(reached), mean(reached - 1)
    share = (finer.vmaf - vmaf) / (finer.vmaf - coarser.vmaf)
    level = levels[-1 - reached] + share * levels.step
    bits = finer.bits ** (1 - share) * coarser.bits**share
    return float(level), float(bits)
