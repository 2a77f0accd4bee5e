"""The codecs of levels: H.264 at a QP, or JPEG at a quality factor."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..base.constants import QP, QUALITY, SCALES
from . import h264, jpeg, quality


def round_half_up(level: float) -> int:
    """Round a level to the nearest QP or quality factor; a half is rounded up."""
    return math.floor(level + 0.5)


class Codec(NamedTuple):
    """A codec of frames, RGB uint8 [height, width, 3] with even sides, at integer levels."""

    unit: str
    levels: range  # from the finest to the coarsest
    encode: Callable[[np.ndarray, int], bytes]
    decode: Callable[[bytes], np.ndarray]
    measure: Callable[[np.ndarray, bytes], dict[str, float]]  # of a frame and its stream
    encoder: Callable[[], str]  # its name and version

    def version(self) -> str:
        """Name the encoder and the metric with their versions."""
        return f"{self.encoder()}, {quality.metric()}"

    def nearest(self, level: float) -> int:
        """Round a level to the nearest one that can be coded."""
        return min(max(round_half_up(level), min(self.levels)), max(self.levels))

    def coarser_by(self, level: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Count by how many steps `level` is coarser than `other`; negative if it is finer."""
        return (level - other) * self.levels.step


def _measure_jpeg(rgb: np.ndarray, stream: bytes) -> dict[str, float]:
    return quality.measure(rgb, jpeg.decode(stream))


_H264 = h264.encode, h264.decode, quality.measure, h264.encoder
_JPEG = jpeg.encode, jpeg.decode, _measure_jpeg, jpeg.encoder
CODECS = {
    QP: Codec("QP", SCALES[QP], *_H264),
    QUALITY: Codec("quality", SCALES[QUALITY], *_JPEG),
}
