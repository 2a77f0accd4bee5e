"""Proxy labels of JPEG: the highest qualities at which VMAF falls below three thresholds."""

from collections.abc import Sequence

import numpy as np

from ..base.constants import FINEST_QUALITY
from ..models.labels import JPEG_THRESHOLDS
from ..video import jpeg
from ..video.quality import score_frames
from .proxy_labels import Level, Scale, choose_steps, find_crossings

# Qualities to measure first: around the levels of most photographs.
_FIRST = (18, 24, 32, 42)


def _describe(step: int) -> str:
    return f"JPEG quality {FINEST_QUALITY - step}"


_SCALE = Scale(FINEST_QUALITY - 1, 0.03, _describe)


def find_jpeg_levels(
    rgb: np.ndarray, thresholds: Sequence[float] = JPEG_THRESHOLDS, whole: bool = True
) -> list[Level]:
    """Find for each threshold the highest quality at which the frame's VMAF is below it.

    Args:
        rgb: uint8 [height, width, 3], height and width even.
        thresholds: VMAF, 0 to 100, falling.
        whole: whether each level is that quality, instead of the nearest one to `exact`.

    Raises:
        UserError: VMAF stays at or above a threshold down to quality 1, as on flat frames, or is
            below it even at quality 100.
    """
    known: dict[int, Level] = {}
    asked = {FINEST_QUALITY - quality for quality in _FIRST}
    while asked:
        qualities = [FINEST_QUALITY - step for step in sorted(asked)]
        streams = [jpeg.encode(rgb, quality) for quality in qualities]
        scores = score_frames(rgb, [jpeg.decode(stream) for stream in streams])
        measured = map(Level, qualities, streams, scores)
        known.update((FINEST_QUALITY - level.coded, level) for level in measured)
        chosen = [choose_steps(known, threshold, _SCALE) for threshold in thresholds]
        asked = {step for steps in chosen for step in steps} - known.keys()
    levels = find_crossings(known, thresholds, whole, _SCALE)
    return [level._replace(exact=FINEST_QUALITY - level.exact) for level in levels]
