"""Statistics of a picture at its own size, from which a regression predicts its levels.

luma ─┬─ gradients at three scales ─ percentiles ─┬─ statistics
      └─ simulated coding ────────────────────────┘
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..base.arrays import read_arrays, write_arrays
from ..base.constants import QP, QUALITY
from ..base.errors import UserError, explain
from .gradients import gradient_percentiles
from .simulated_coding import (
    CHROMA_SIDES,
    PER_CHROMA,
    PER_QP,
    QPS,
    QUALITIES,
    simulate_coding,
    simulate_jpeg,
)
from .split import Split

# In a dataset root, the statistics of the labelled pictures, in a file of this name; in a row of
# `prepare`, the key of a frame's statistics.
STATISTICS_FILE, STATISTICS = "statistics.npz", "statistics"
_MOST_BYTES = 10**9

# Wider pictures are first reduced to this: their levels hardly differ, and hardly any picture that
# a regression is fitted on is wider.
WIDEST = 1920
_LEAST = 24  # pixels; smaller pictures are extended: three blocks make a window
_GRADIENTS = 44
COUNT = _GRADIENTS + PER_QP * len(QPS)  # for H.264
COUNTS = {
    QP: COUNT,
    QUALITY: _GRADIENTS + PER_QP * len(QUALITIES) + PER_CHROMA * len(CHROMA_SIDES),
}


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
        raise UserError(f"{path}: damaged, or of other images ({explain(error)})") from None
    codec = split.labels.codec if split.labels else QP
    if found.shape[1:] != (COUNTS.get(codec, COUNT),) or not np.isfinite(found).all():
        raise UserError(f"{path}: not the statistics of this version; prepare the root again")
    return found


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
