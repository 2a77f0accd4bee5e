"""The video encoders, side by side.

All run at a constant QP, since that is what levels are. x264's zones cannot say so: with `-qp` it
holds them within 3 of the QP of the whole, and with `-crf` the intra frame of a cut gets the QP of
the frames before it. So each scene is a stream of its own, with the same headers as the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from common.codecs.ffmpeg import binary, run
from common.errors import UserError


class Encoder(NamedTuple):
    """An encoder that ffmpeg has."""

    library: str
    coarsest: int  # QP; the finest is 1, since 0 is another mode, without any loss
    steps: float  # of its QP that change the quality about as one of H.264's does
    options: Callable[[int, int], dict[str, Any]]  # of ffmpeg, by QP and bits per colour

    def start(self, level: float) -> float:
        """The QP to try first for an H.264 QP."""
        return level * self.steps


def _x264(qp: int, depth: int) -> dict[str, Any]:
    # x264 counts from the finest QP of the depth on, so that 12 in 10 bits is 0 in 8.
    return {"preset": "medium", "qp": qp + 6 * (depth - 8), "x264-params": "stitchable=1"}


def _x265(qp: int, _: int) -> dict[str, Any]:
    return {"preset": "medium", "x265-params": f"qp={qp}:log-level=error"}


def _svtav1(qp: int, _: int) -> dict[str, Any]:
    # Temporal filtering in the encoder would make it another picture than that of the QP.
    return {"preset": 8, "qp": qp, "svtav1-params": "rc=0:enable-tf=0:aq-mode=0"}


ENCODERS = {
    "x264": Encoder("libx264", 51, 1, _x264),
    "x265": Encoder("libx265", 51, 1, _x265),
    "svtav1": Encoder("libsvtav1", 63, 1.3, _svtav1),
}


@functools.cache
def check_available(name: str) -> None:
    """Raises:
    UserError: the ffmpeg in use was built without that encoder.
    """
    library = ENCODERS[name].library
    listed = run([binary("libvmaf"), "-hide_banner", "-encoders"]).stdout.decode()
    if f" {library} " not in listed:
        raise UserError(f"{binary()} was built without {library}: choose another --encoder")
