"""Pictures as the models see them: 640x352 pixels, blue-green-red, 0 to 255."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..base.constants import HEIGHT, OLD_VIEWS, WIDTH
from ..base.errors import UserError
from ..base.framework import tf
from .pictures import read_rgb


def resize(rgb: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Resize uint8 [any, any, 3] to uint8 [height, width, 3] as for the published models.

    Interpolation is bilinear with half-pixel centres, without antialiasing, and ignores the aspect
    ratio. It uses fixed point with 11-bit weights and OpenCV's truncations, so the result is
    bit-identical to OpenCV's 8-bit resize.
    """
    if rgb.shape[:2] == (height, width):
        return rgb
    top, bottom, above, below = _find_neighbours(rgb.shape[0], height)
    left, right, before, after = _find_neighbours(rgb.shape[1], width)

    def interpolate(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        rows = rgb[rows].astype(np.int32)
        rows = (rows[:, left] * before[:, None] + rows[:, right] * after[:, None]) >> 4
        return rows * weights[:, None, None] >> 16

    return ((interpolate(top, above) + interpolate(bottom, below) + 2) >> 2).astype(np.uint8)


def _find_neighbours(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the two source pixels of each new pixel along one side, and their weights (sum 2048)."""
    at = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    first = np.floor(at)
    weights = np.rint(np.stack([1 - (at - first), at - first]) * 2048)
    before, after = np.clip([first, first + 1], 0, old - 1).astype(np.int32)
    return before, after, *weights.astype(np.int32)


def read_frame(path: Path) -> np.ndarray:
    """Read an image as uint8 [352, 640, 3], blue-green-red; raises as `read_rgb`."""
    return to_bgr(resize(read_rgb(path)))


def to_bgr(rgb: np.ndarray) -> np.ndarray:
    """Copy red-green-blue [..., 3] as blue-green-red.

    Channel by channel: a copy of `rgb[..., ::-1]` takes four times as long.
    """
    return np.stack([rgb[..., channel] for channel in (2, 1, 0)], axis=-1)


def stretch(rgb: np.ndarray) -> list[np.ndarray]:
    """Resize the whole picture, ignoring its aspect ratio, as for the published models."""
    return [resize(rgb)]


def crop_centre(rgb: np.ndarray) -> list[np.ndarray]:
    """Resize the largest centred crop that has the models' aspect ratio, 20:11."""
    height, width = rgb.shape[:2]
    across = min(width, height * WIDTH / HEIGHT)
    sides = max(1, round(across * HEIGHT / WIDTH)), max(1, round(across))
    top, left = (height - sides[0]) // 2, (width - sides[1]) // 2
    return [resize(rgb[top : top + sides[0], left : left + sides[1]])]


def crop_evenly(rgb: np.ndarray, along: int = 2) -> list[np.ndarray]:
    """Cut `along` x `along` evenly spread crops of 640x352, or as few as cover the picture.

    A picture that is narrower or lower is first enlarged, at its own aspect ratio.
    """
    scale = max(1, WIDTH / rgb.shape[1], HEIGHT / rgb.shape[0])
    if scale > 1:
        sides = (round(side * scale) for side in rgb.shape[:2])
        rgb = resize(rgb, *map(max, sides, (HEIGHT, WIDTH)))
    return [
        rgb[top : top + HEIGHT, left : left + WIDTH]
        for top in _choose_starts(rgb.shape[0], HEIGHT, along)
        for left in _choose_starts(rgb.shape[1], WIDTH, along)
    ]


def _choose_starts(whole: int, part: int, most: int) -> Iterator[int]:
    """Choose the starts of parts that cover `whole`, or of only `most` parts, evenly spread."""
    count = -(-whole // part)
    if count <= most:
        return (round(start) for start in np.linspace(0, whole - part, count))
    share = whole / most
    return (round(share * (number + 0.5) - part / 2) for number in range(most))


# The values of --view: how a picture of another size is fitted to the model's input.
VIEWS: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "crops": crop_evenly,
    "centre": crop_centre,
    "stretched": stretch,
}


def fit(rgb: np.ndarray, view: str) -> list[np.ndarray]:
    """Fit a picture to the models' 640x352 by one of the `VIEWS`, as one frame or several crops.

    Raises:
        UserError: there is no such view.
    """
    view = OLD_VIEWS.get(view, view)
    if view not in VIEWS:
        raise UserError(f"{view}: no such view; there are {', '.join(VIEWS)}")
    return VIEWS[view](rgb)


def decode_frames(columns: list[list[Path]], order: np.ndarray) -> "tf.data.Dataset":
    """Decode the frames of `columns`, such as images and JND frames, row by row in `order`.

    Rows are decoded in parallel and ahead of their use.

    Args:
        order: indices into the columns, int64 [any].

    Returns:
        Elements (index int64 [], error string [], a frame uint8 [352, 640, 3], blue-green-red, per
        column). If a row cannot be read, the error says why and its frames are black; otherwise
        the error is empty.
    """

    def read(index: int) -> tuple[bytes | np.ndarray, ...]:
        paths = [column[index] for column in columns]
        try:
            frames, error = {path: read_frame(path) for path in set(paths)}, ""
        except UserError as bad:
            frames, error = dict.fromkeys(paths, np.zeros((HEIGHT, WIDTH, 3), np.uint8)), str(bad)
        return error.encode(errors="surrogateescape"), *(frames[path] for path in paths)

    def make_row(index: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
        kinds = [tf.string] + [tf.uint8] * len(columns)
        error, *frames = tf.numpy_function(read, [index], kinds)
        frames = [tf.ensure_shape(frame, (HEIGHT, WIDTH, 3)) for frame in frames]
        return index, tf.ensure_shape(error, ()), *frames

    rows = tf.data.Dataset.from_tensor_slices(np.asarray(order, np.int64))
    return rows.map(make_row, tf.data.AUTOTUNE, deterministic=True).with_options(untuned_options())


def batch_frames(images: list[Path], batch_size: int) -> "tf.data.Dataset":
    """Make batches (indices, errors, frames), as `decode_frames`, of all `images` in order."""
    frames = decode_frames([images], np.arange(len(images)))
    return frames.batch(min(batch_size, len(images))).prefetch(tf.data.AUTOTUNE)


def raise_first(errors: "tf.Tensor") -> None:
    """Raise the first error of a row or batch of `decode_frames`, if any, as a `UserError`."""
    if message := next(filter(None, np.ravel(errors.numpy())), b""):
        raise UserError(message.decode(errors="surrogateescape"))


def untuned_options() -> "tf.data.Options":
    """Make dataset options without tf.data's tuner, which can take seconds to stop every epoch."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
