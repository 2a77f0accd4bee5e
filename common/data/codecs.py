"""What levels are coded with: H.264 at a QP, or JPEG at a quality factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common.data import jpeg, video
from common.data.manifest import QP, QUALITY
from common.data.viewers import whole


class Codec(NamedTuple):
    """A way to code a frame, RGB uint8 [height, width, 3] with even sides, at a whole level."""

    unit: str
    levels: range
    """From the finest to the coarsest."""
    encode: Callable[[np.ndarray, int], bytes]
    decode: Callable[[bytes], np.ndarray]
    measure: Callable[[np.ndarray, bytes], dict[str, float]]
    """PSNR (dB), SSIM and VMAF of a stream against its frame, as `video.measure`."""
    version: Callable[[], str]
    """Names and versions of what encodes and what measures."""

    def nearest(self, level: float) -> int:
        """The level that can be coded."""
        return min(max(whole(level), min(self.levels)), max(self.levels))

    def coarser_by(self, level: np.ndarray, other: np.ndarray) -> np.ndarray:
        """How many steps `level` is coarser than `other`; negative where it is finer."""
        return (level - other) * self.levels.step


def _measure_jpeg(rgb: np.ndarray, stream: bytes) -> dict[str, float]:
    return video.measure(rgb, jpeg.decode(stream))


def _metric() -> str:
    video.binary("libvmaf")  # says what is missing where there is none
    return video.versions()["vmaf"]


CODECS = {
    QP: Codec(
        "QP",
        range(video.COARSEST_QP + 1),
        video.encode,
        video.decode,
        video.measure,
        lambda: f"{video.encoder()}, {_metric()}",
    ),
    QUALITY: Codec(
        "quality",
        range(100, 0, -1),
        jpeg.encode,
        jpeg.decode,
        _measure_jpeg,
        lambda: f"{jpeg.encoder()}, {_metric()}",
    ),
}
