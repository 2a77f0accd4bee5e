"""Detection of cuts between scenes by the differences between thumbnails of neighbouring frames.

A cut changes the picture by more than the movement around it. So does a flash, but after it the old
picture returns. A picture after black begins a scene, which detects fades; dissolves are not
detected. docs/encode.md compares this with ffmpeg's scdet and PySceneDetect.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .pixel_formats import UNTAG_ALL

WIDTH, HEIGHT = 16, 9  # pixels of a thumbnail
# Scaling takes two steps: the first is fast, and the second averages.
_SCALE = f"scale=320:180:flags=fast_bilinear,scale={WIDTH}:{HEIGHT}:flags=area"
THUMBNAILS = f"{UNTAG_ALL},{_SCALE},format=gray"
_SHORT = 0.5  # maximum seconds of a flash, or of the beginning of a fade
# A cut changes pixel values (0 to 255) by at least _LEAST_JUMP on average, and by at least
# _TIMES_AROUND times the changes between the _AROUND frames before and after it.
_LEAST_JUMP, _TIMES_AROUND, _AROUND = 6, 2.5, 3
_BLACK = 32  # pixel values of a black frame are lower


def find_cuts(thumbnails: np.ndarray, times: Sequence[float]) -> list[int]:
    """Find the frames that begin a scene, except the first one.

    Args:
        thumbnails: uint8 [frames, pixels], made by the filters `THUMBNAILS`.
        times: seconds at which the frames are shown.
    """
    jumps = np.array([0.0, *(_difference(old, new) for old, new in pairwise(thumbnails))])
    black = [bool(each.max() < _BLACK) for each in thumbnails]
    cuts, returned = [], 0
    for number in range(1, len(thumbnails)):
        if number <= returned:
            continue
        after_black = black[number - 1] and not black[number]
        if after_black:
            later = bisect_left(times, times[number] + _SHORT, number + 1, len(thumbnails)) - 1
            after_black = _difference(thumbnails[later], thumbnails[number - 1]) >= _LEAST_JUMP
        if not after_black and not _is_jump(jumps, number):
            continue
        if back := _find_return(thumbnails, times, jumps, number):
            returned = back
        else:
            cuts.append(number)
    return cuts


def _difference(thumbnail: np.ndarray, other: np.ndarray) -> float:
    """Compute the mean absolute difference of the pixels."""
    return float(np.abs(np.subtract(thumbnail, other, dtype=np.int16)).mean())


def _is_jump(jumps: np.ndarray, number: int) -> bool:
    around = [*jumps[max(number - _AROUND, 1) : number], *jumps[number + 1 : number + 1 + _AROUND]]
    usual = float(np.mean(around or [0]))
    return jumps[number] >= max(_LEAST_JUMP, _TIMES_AROUND * usual)


def _find_return(
    thumbnails: np.ndarray, times: Sequence[float], jumps: np.ndarray, cut: int
) -> int | None:
    """Find the frame soon after a flash that looks like the one before it; None if it is a cut.

    They may differ by as much as the movement before the flash would have changed them.
    """
    movement = float(np.mean(jumps[max(cut - _AROUND, 0) : cut]))
    for number in range(cut + 1, len(thumbnails)):
        if times[number] - times[cut] >= _SHORT:
            break
        alike = max(_LEAST_JUMP, (number - cut + 1) * movement)
        if _difference(thumbnails[number], thumbnails[cut - 1]) < min(alike, jumps[cut] / 2):
            return number
    return None
