"""Image files as the frames that the models see: 640x352, blue-green-red, 0 to 255."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from .pictures import read_rgb

if TYPE_CHECKING:
    from ..base.framework import tf


def resized(rgb: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """uint8 [height, width, 3] from uint8 [any, any, 3], as the published models see a frame.

    Bilinear with half-pixel centres, no antialiasing, any aspect. In fixed point with 11-bit
    weights and the truncations of OpenCV's 8-bit resize, which is what those models were fed: the
    result is the same to the bit.
    """
    if rgb.shape[:2] == (height, width):
        return rgb
    top, bottom, above, below = _neighbours(rgb.shape[0], height)
    left, right, before, after = _neighbours(rgb.shape[1], width)

    def sampled(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        rows = rgb[rows].astype(np.int32)
        rows = (rows[:, left] * before[:, None] + rows[:, right] * after[:, None]) >> 4
        return rows * weights[:, None, None] >> 16

    return ((sampled(top, above) + sampled(bottom, below) + 2) >> 2).astype(np.uint8)


def _neighbours(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Along one side, for each new pixel: its two old neighbours and their weights, 2048 in sum."""
    at = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    first = np.floor(at)
    weights = np.rint(np.stack([1 - (at - first), at - first]) * 2048)
    neighbours = np.clip([first, first + 1], 0, old - 1)
    return *neighbours.astype(np.int32), *weights.astype(np.int32)


def read_frame(path: Path) -> np.ndarray:
    """What the models see: uint8 [352, 640, 3], blue-green-red; raises as `read_rgb`."""
    return blue_first(resized(read_rgb(path)))


def blue_first(rgb: np.ndarray) -> np.ndarray:
    """A copy of red-green-blue [..., 3] as blue-green-red, channel by channel.

    What NumPy copies of `rgb[..., ::-1]`, value by value, takes four times as long.
    """
    return np.stack([rgb[..., channel] for channel in (2, 1, 0)], axis=-1)


def decoded_frames(columns: list[list[Path]], order: np.ndarray) -> "tf.data.Dataset":
    """The frames of each of `columns`, such as images and JND frames, row by row in `order`.

    Elements (number int64 [], error string [], a frame uint8 [352, 640, 3], blue-green-red, a
    column); a number is the place in a column, `order` int64 [any] holds such numbers. Decoded in
    parallel and ahead of their use. Of a row that cannot be read, the error says why, and the
    frames are black; else it is empty.
    """
    from ..base.framework import tf

    def read(number: int) -> tuple[bytes | np.ndarray, ...]:
        paths = [column[number] for column in columns]
        try:
            frames, error = {path: read_frame(path) for path in set(paths)}, ""
        except UserError as bad:
            frames, error = dict.fromkeys(paths, np.zeros((HEIGHT, WIDTH, 3), np.uint8)), str(bad)
        return error.encode(errors="surrogateescape"), *(frames[path] for path in paths)

    def row(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        kinds = [tf.string] + [tf.uint8] * len(columns)
        error, *frames = tf.numpy_function(read, [number], kinds)
        frames = [tf.ensure_shape(frame, (HEIGHT, WIDTH, 3)) for frame in frames]
        return number, tf.ensure_shape(error, ()), *frames

    rows = tf.data.Dataset.from_tensor_slices(np.asarray(order, np.int64))
    return rows.map(row, tf.data.AUTOTUNE, deterministic=True).with_options(untuned())


def errors_in(errors: "tf.Tensor") -> list[UserError]:
    """What is wrong with the rows of a batch of `decoded_frames`."""
    messages = (error.decode(errors="surrogateescape") for error in np.ravel(errors.numpy()))
    return [UserError(error) for error in messages if error]


def raise_first(errors: "tf.Tensor") -> None:
    """Raise the first of `errors_in`, if any."""
    for error in errors_in(errors):
        raise error


def untuned() -> "tf.data.Options":
    """Options of a dataset without tf.data's tuner: to end that can take seconds, every epoch."""
    from ..base.framework import tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def frame_batches(images: list[Path], batch_size: int) -> "tf.data.Dataset":
    """Batches (numbers, errors, frames), as `decoded_frames`, of all `images` in their order."""
    from ..base.framework import tf

    frames = decoded_frames([images], np.arange(len(images)))
    return frames.batch(min(batch_size, len(images))).prefetch(tf.data.AUTOTUNE)
