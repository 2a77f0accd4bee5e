"""What levels are coded with: H.264 at a QP, or JPEG at a quality factor."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..base.constants import QP, QUALITY, SCALES
from . import h264, jpeg


def whole(level: float) -> int:
    """The QP or quality factor nearest to a level; a half goes up."""
    return math.floor(level + 0.5)


class Codec(NamedTuple):
    """A way to code a frame, RGB uint8 [height, width, 3] with even sides, at a whole level."""

    unit: str
    levels: range  # from the finest to the coarsest
    encode: Callable[[np.ndarray, int], bytes]
    decode: Callable[[bytes], np.ndarray]
    measure: Callable[[np.ndarray, bytes], dict[str, float]]  # a stream and its frame
    version: Callable[[], str]  # names and versions of what encodes and what measures

    def nearest(self, level: float) -> int:
        """The level that can be coded."""
        return min(max(whole(level), min(self.levels)), max(self.levels))

    def coarser_by(self, level: np.ndarray, other: np.ndarray) -> np.ndarray:
        """How many steps `level` is coarser than `other`; negative where it is finer."""
        return (level - other) * self.levels.step


def _measure_jpeg(rgb: np.ndarray, stream: bytes) -> dict[str, float]:
    return h264.measure(rgb, jpeg.decode(stream))


def _version(encoder: Callable[[], str]) -> Callable[[], str]:
    return lambda: f"{encoder()}, {h264.metric()}"


_H264 = SCALES[QP], h264.encode, h264.decode, h264.measure, _version(h264.encoder)
_JPEG = SCALES[QUALITY], jpeg.encode, jpeg.decode, _measure_jpeg, _version(jpeg.encoder)
CODECS = {QP: Codec("QP", *_H264), QUALITY: Codec("quality", *_JPEG)}
