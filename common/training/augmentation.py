"""Augmentation: mirrored copies of frames, and features that are moved at random in each epoch.

The features of a frame are computed once and cached, so `--roll` and `--mirror` move the features
instead of the frame: a head has millions of weights in its first dense layer, and would otherwise
memorize at which position each training picture has what.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .settings import TrainingSplit


def add_mirrored_copies(split: "TrainingSplit") -> "TrainingSplit":
    """Add a mirrored copy of each frame, with the same levels, behind all frames."""
    return split._replace(
        images=split.images * 2,
        levels=np.tile(split.levels, (2, 1)),
        jnd_frames=split.jnd_frames and split.jnd_frames * 2,
        contents=None if split.contents is None else np.tile(split.contents, 2),
        mirrored=len(split.images),
    )


def draw_moves(random: np.random.Generator, count: int, roll: bool, mirror: bool) -> np.ndarray:
    """Draw a move for each of `count` frames: float64 [count, 3].

    Columns: the cyclic shift as a fraction of height and of width, and 1 to mirror, else 0.
    """
    moves = np.zeros((count, 3))
    if roll:
        moves[:, :2] = random.random((count, 2))
    if mirror:
        moves[:, 2] = random.random(count) < 0.5
    return moves


def apply_move(feature: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Shift and mirror a feature [height, width, channels] as a row of `draw_moves` says."""
    distance = (move[:2] * feature.shape[:2]).astype(int)
    return np.roll(feature, distance, axis=(0, 1))[:, :: -1 if move[2] else 1]
