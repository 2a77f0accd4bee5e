"""What predicted levels are worth: frames coded at them, measured, and kept between runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from common.data import video
from common.data.codecs import Codec
from common.data.frames import read_rgb
from common.data.objective import lowest_below
from common.data.parallel import in_parallel
from common.files import write_arrays

METRICS = ("psnr", "ssim", "vmaf")
# PSNR of a frame that lost nothing is infinite; differences need a number.
LOSSLESS_DB = 100.0


class Encode(NamedTuple):
    """A frame's stream at a level, what it takes, and how near it comes."""

    stream: bytes
    bits: int
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


def encoded(rgb: np.ndarray, level: int, codec: Codec, cache: Path) -> Encode:
    """A frame coded at a level and measured, from the folder `cache` where it has been before.

    A file there is named by all that its content depends on: the frame's bytes, the level, and the
    tools with their versions. It is written whole or not at all, so a killed run leaves only what
    the next one can use.
    """
    told = repr((codec.version(), rgb.shape, level)).encode()
    name = hashlib.sha256(told + rgb.tobytes()).hexdigest()
    path = cache / "encodes" / name[:2] / f"{name}.npz"
    if not path.exists():
        stream = codec.encode(rgb, level)
        measures = codec.measure(rgb, stream)
        write_arrays(path, stream=np.frombuffer(stream, np.uint8), **measures)
    with np.load(path) as file:
        stream = file["stream"].tobytes()
        return Encode(
            stream,
            video.bits(stream),
            min(float(file["psnr"]), LOSSLESS_DB),
            float(file["ssim"]),
            float(file["vmaf"]),
        )


def measured(
    images: Sequence[Path], levels: Sequence[int], codec: Codec, cache: Path, doing: str
) -> pd.DataFrame:
    """Bits, bits per pixel, PSNR (dB), SSIM and VMAF of images coded at levels, a row an image."""

    def measures(pair: tuple[Path, int]) -> dict[str, float]:
        rgb = read_even(pair[0])
        encode = encoded(rgb, int(pair[1]), codec, cache)._asdict()
        del encode["stream"]
        return {**encode, "bits_per_pixel": encode["bits"] / (rgb.shape[0] * rgb.shape[1])}

    return pd.DataFrame(in_parallel(measures, zip(images, levels), doing))


def best_constant(
    of_constant: Callable[[int], pd.DataFrame], vmaf: float, levels: range
) -> tuple[float, float]:
    """The one level for all frames that gives the mean VMAF `vmaf`, and its mean bits a frame.

    Whole levels seldom give that VMAF. Bisection finds the finest whole level whose mean VMAF is
    below it; between that and the level before, the level and the logarithm of the mean bits are
    interpolated linearly over the mean VMAF. Beyond the finest or coarsest level it is that one.

    Args:
        of_constant: what `measured` gives where all frames are coded at a level.
        levels: from the finest to the coarsest.
    """
    means: dict[int, pd.Series] = {}

    def mean(index: int) -> pd.Series:
        if index not in means:
            means[index] = of_constant(levels[index]).mean()
        return means[index]

    below = lowest_below(lambda index: mean(index).vmaf, vmaf, 0, len(levels) - 1)
    if not below:
        index = 0 if below == 0 else len(levels) - 1
        return float(levels[index]), float(mean(index).bits)
    finer, coarser = mean(below - 1), mean(below)
    share = (finer.vmaf - vmaf) / (finer.vmaf - coarser.vmaf)
    level = levels[below - 1] + share * levels.step
    bits = finer.bits ** (1 - share) * coarser.bits**share
    return float(level), float(bits)
