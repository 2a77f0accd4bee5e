"""Augmentation: mirrored copies of frames, and random moves of features in each epoch.

The features of a frame are computed once and cached, so `--roll` and `--mirror` move the features
instead of the frame: otherwise the millions of weights in a head's first dense layer would memorize
the positions of details in each training picture.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .settings import TrainingSplit


def add_mirrored_copies(split: "TrainingSplit") -> "TrainingSplit":
    """Append a mirrored copy of each frame, with the same levels."""
    return split._replace(
        images=split.images * 2,
        levels=np.tile(split.levels, (2, 1)),
        jnd_frames=split.jnd_frames and split.jnd_frames * 2,
        contents=None if split.contents is None else np.tile(split.contents, 2),
        mirrored=len(split.images),
    )


def draw_moves(random: np.random.Generator, count: int, roll: bool, mirror: bool) -> np.ndarray:
    """Draw a move for each of `count` frames: float64 [count, 3].

    The columns are the cyclic shift as a fraction of height and of width, and 1 to mirror, else 0.
    """
    moves = np.zeros((count, 3))
    if roll:
        moves[:, :2] = random.random((count, 2))
    if mirror:
        moves[:, 2] = random.random(count) < 0.5
    return moves


def apply_move(feature: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Shift and mirror a feature [height, width, channels] by a row of `draw_moves`."""
    distance = (move[:2] * feature.shape[:2]).astype(int)
    return np.roll(feature, distance, axis=(0, 1))[:, :: -1 if move[2] else 1]
