"""Statistics of a whole picture, from which a regression predicts its levels.

    picture ─┬─ coded at two QPs or JPEG qualities ─┬─ VMAF and its features ─ statistics
             └──────────────────────────────────────┘

For H.264, coding is simulated. JPEGs are really made, since Pillow takes less time than a
simulation would. Nothing here may use BLAS: OpenBLAS hangs if another thread starts a process.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..base.arrays import read_arrays, write_arrays
from ..base.constants import QP, QUALITY
from ..base.errors import UserError, explain
from ..video import jpeg
from ..video.ffmpeg import FFmpegError
from ..video.quality import FEATURES, LEAST_SIDE, measure_features
from .pictures import repeat_grey
from .simulated_coding import QPS, simulate_coding
from .split import Split

# In a dataset root, the statistics of the labelled pictures, in a file of this name; in a row of
# `prepare`, the key of a frame's statistics.
STATISTICS_FILE, STATISTICS = "statistics.npz", "statistics"
_MOST_BYTES = 10**9

# Part of the statistics' definition: a stored regression is valid for these values only.
# Larger pictures are first reduced to these limits, in pixels. Levels change little by that, and
# hardly any picture that a regression is fitted on is larger.
WIDEST, TALLEST, MOST_PIXELS = 1920, 2**15, 2**23
QUALITIES = (18, 50)  # of JPEG; as many as `QPS`
COUNT = len(FEATURES) * len(QPS)  # for either codec
_LEAST_LOSS = 0.002  # on flat pictures, losses are 0 or less, which have no logarithm


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
        raise UserError(f"{path}: damaged, or of other images ({explain(error)})") from None
    if found.shape[1:] != (COUNT,) or not np.isfinite(found).all():
        raise UserError(f"{path}: not the statistics of this version; prepare the root again")
    return found


def measure_statistics(rgb: np.ndarray, codec: str = QP) -> np.ndarray:
    """Measure the statistics of a picture, uint8 [height, width, 3].

    Args:
        codec: QP or QUALITY, by which the picture is to be coded.

    Returns:
        float32 [`COUNT`]: for each coding, the logarithms of what is lost of VMAF and of each of
        its features, as fractions.

    Raises:
        UserError: there is no ffmpeg with VMAF, or it fails.
    """
    try:
        left = measure_features(*_code(_reduce(rgb), codec))
    except (FFmpegError, OSError) as error:
        size = f"{rgb.shape[1]}x{rgb.shape[0]}"
        raise UserError(f"its statistics cannot be measured at {size} pixels ({error})") from None
    return np.log(np.maximum(1 - left, _LEAST_LOSS)).astype(np.float32).ravel()


def _reduce(rgb: np.ndarray) -> np.ndarray:
    """Reduce a picture that is too large, and repeat the border of one too small for VMAF."""
    height, width = rgb.shape[:2]
    limits = WIDEST / width, TALLEST / height, (MOST_PIXELS / (width * height)) ** 0.5
    if min(limits) < 1:
        size = [max(round(side * min(limits)), 1) for side in (width, height)]
        rgb = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    missing = [(0, max(LEAST_SIDE - side, 0)) for side in rgb.shape[:2]]
    return np.pad(rgb, [*missing, (0, 0)], "edge")


def _code(rgb: np.ndarray, codec: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Code a picture in two ways; return what to compare with what, both [height, width, 3].

    For H.264 both show luma only, and otherwise all colours.
    """
    if codec == QUALITY:
        return rgb, [jpeg.decode(jpeg.encode(rgb, quality)) for quality in QUALITIES]
    luma = np.asarray(Image.fromarray(rgb).convert("L"))
    return repeat_grey(luma), [repeat_grey(coded) for coded in simulate_coding(luma)]
