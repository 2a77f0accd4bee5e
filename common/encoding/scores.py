"""VMAF of scenes and pictures: which figure of a scene's frames is aimed at, by which model."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..video.quality import VMAF
from .encoders import MEAN

_LOW = 5  # percent


class Score(NamedTuple):
    """VMAF of the frames of a scene."""

    mean: float
    p5: float  # 5th percentile
    aimed: float  # the one of these that is compared with the target


class Measure(NamedTuple):
    """How encodes are measured."""

    metric: str = VMAF  # a model of libvmaf
    aim: str = MEAN  # one of AIMS

    def summarise(self, vmaf: Sequence[float] | np.ndarray) -> Score:
        """Summarise the VMAF of each frame."""
        figures = {"mean": float(np.mean(vmaf)), "p5": float(np.percentile(vmaf, _LOW))}
        return Score(**figures, aimed=figures[self.aim])


def log_loss(vmaf: float) -> float:
    """Compute log(100 - VMAF), which is nearly linear in a CRF, QP or quality."""
    return math.log(max(100 - vmaf, 0.01))
