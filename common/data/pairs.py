"""Images beside the frames they become: raw and JND-quality, pair by pair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.data.frames import HEIGHT, WIDTH, read_frame
from common.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


def paired_frames(
    images: list[Path], targets: list[Path], order: np.ndarray, bad: list[UserError]
) -> tf.data.Dataset:
    """The frames of `images` and `targets`, decoded in parallel and ahead of their use.

    One element a pair: (number int64 [], frame uint8 [352, 640, 3], target likewise), blue-green-
    red. A number is the place in `images`; the elements come in the `order` (int64 [any]) of such
    numbers. A pair that cannot be read is left out and its error added to `bad`.
    """
    import tensorflow as tf

    def read(number: int) -> tuple[np.ndarray, np.ndarray, bool]:
        try:
            frame = read_frame(images[number])
            same = targets[number] == images[number]
            return frame, frame if same else read_frame(targets[number]), True
        except UserError as error:
            bad.append(error)
            nothing = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            return nothing, nothing, False

    def pair(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        frame, target, whole = tf.numpy_function(read, [number], (tf.uint8, tf.uint8, tf.bool))
        shape = (HEIGHT, WIDTH, 3)
        return (
            number,
            tf.ensure_shape(frame, shape),
            tf.ensure_shape(target, shape),
            tf.ensure_shape(whole, ()),
        )

    pairs = tf.data.Dataset.from_tensor_slices(np.asarray(order, np.int64))
    pairs = pairs.map(pair, tf.data.AUTOTUNE, deterministic=True)
    pairs = pairs.filter(lambda number, frame, target, whole: whole)
    return pairs.map(lambda number, frame, target, whole: (number, frame, target))
