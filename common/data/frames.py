"""Image files, and the frames the models see: 640x352, blue-green-red, 0 to 255."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from natsort import natsort_keygen
from natsort import ns as order
from PIL import Image, ImageOps

from common.data.text import readable
from common.errors import UserError
from common.facts import HEIGHT, HIDDEN, WIDTH
from common.files import check_regular
from common.models import bitstream

if TYPE_CHECKING:
    from common.framework import tf

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".264", ".h264", ".y4m"}

# A dataset may hold gigapixel pictures; Pillow's guard against them is for web servers. Ours is
# against headers that are damaged: so many pixels, and so many for each byte, hold no picture.
Image.MAX_IMAGE_PIXELS = None
_MANY_PIXELS, _PIXELS_PER_BYTE = 2**26, 350
# What is wrong with a file that can still be read; what cannot is an error.
warnings.filterwarnings("ignore", module=r"PIL\.")

_natural = natsort_keygen(alg=order.PATH | order.IGNORECASE)


def natural_key(path: Path) -> tuple:
    """What paths below one folder are sorted by: img2 before img10, upper case as lower case.

    Folders compare part by part, by the same letters in any locale. The path itself breaks ties
    between names that differ in case or in leading zeros alone. Coded pictures have the order of
    what was coded.
    """
    return _natural(Path(readable(path).removesuffix(bitstream.SUFFIX))), str(path)


def files_below(folder: Path) -> Iterator[Path]:
    """Files below `folder`, subfolders included, in any order.

    Hidden files and folders are passed over, and so are folders that common.prepare made.

    Raises:
        UserError: a folder cannot be read.
    """

    def refuse(error: OSError) -> NoReturn:
        message = f"{error.strerror.lower()}; make it readable, or move it away"
        raise UserError(f"{error.filename}: {message}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        if HIDDEN in folders:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in names if not name.startswith("."))
        yield from filter(Path.is_file, paths)


def list_files(folder: Path, suffixes: Collection[str], what: str) -> list[Path]:
    """Those of `files_below` with one of the `suffixes`, in natural order (see `natural_key`).

    Raises:
        UserError: there is no such folder, or no such file in it; told with what others it holds.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {what} were expected in it")
    paths = list(files_below(folder))
    images = [path.relative_to(folder) for path in paths if path.suffix.lower() in suffixes]
    if not images:
        kinds = Counter(path.suffix.lower() or "nameless" for path in paths).most_common(3)
        there = " and ".join(f"{count} {kind}" for kind, count in kinds)
        mend = f", but {there}; convert pictures of other kinds to PNG" if kinds else ""
        raise UserError(f"{folder}: no {what} in it ({', '.join(sorted(suffixes))}){mend}")
    return [folder / path for path in sorted(images, key=natural_key)]


def list_images(folder: Path, coded: bool = False) -> list[Path]:
    """Image files below `folder`: `list_files` of `SUFFIXES`, or, if `coded` will do, of those of
    coded pictures.

    Raises:
        UserError: as `list_files`, or there are both.
    """
    images = list_files(folder, SUFFIXES | {bitstream.SUFFIX} if coded else SUFFIXES, "images")
    if len({bitstream.is_coded(path) for path in images}) > 1:
        raise UserError(f"{folder}: pictures and coded pictures in it; keep them in two folders")
    return images


def read_rgb(path: Path) -> np.ndarray:
    """Pixels of an image file as viewers see them: uint8 [height, width, 3], red-green-blue.

    EXIF orientation is applied, alpha is dropped, grey is repeated, 16 bits keep their upper 8.

    Raises:
        UserError: the file cannot be read or is not a whole image.
    """
    try:
        check_regular(path)
        with Image.open(path) as file:
            image: Image.Image = file
            pixels, size = image.width * image.height, os.path.getsize(path)
            if pixels > max(_MANY_PIXELS, _PIXELS_PER_BYTE * size):
                raise ValueError(f"{image.width}x{image.height} pixels cannot be in {size} bytes")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith(("I", "F")):
                wide = np.asarray(image)
                image = Image.fromarray(np.clip(wide / 256, 0, 255).astype(np.uint8))
            # Palettes go through RGBA: their transparency is an alpha to drop, not a colour.
            if image.mode in ("P", "PA"):
                image = image.convert("RGBA")
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    # Pillow answers damaged files with whatever its decoders stumble on.
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an image ({error})") from None


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


def decoded_frames(columns: list[list[Path]], order: np.ndarray) -> tf.data.Dataset:
    """The frames of each of `columns`, such as images and JND frames, row by row in `order`.

    Elements (number int64 [], error string [], a frame uint8 [352, 640, 3], blue-green-red, a
    column); a number is the place in a column, `order` int64 [any] holds such numbers. Decoded in
    parallel and ahead of their use. Of a row that cannot be read, the error says why, and the
    frames are black; else it is empty.
    """
    from common.framework import tf

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


def errors_in(errors: tf.Tensor) -> list[UserError]:
    """What is wrong with the rows of a batch of `decoded_frames`."""
    messages = (error.decode(errors="surrogateescape") for error in np.ravel(errors.numpy()))
    return [UserError(error) for error in messages if error]


def raise_first(errors: tf.Tensor) -> None:
    """Raise the first of `errors_in`, if any."""
    for error in errors_in(errors):
        raise error


def untuned() -> tf.data.Options:
    """Options of a dataset without tf.data's tuner: to end that can take seconds, every epoch."""
    from common.framework import tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def frame_batches(images: list[Path], batch_size: int) -> tf.data.Dataset:
    """Batches (numbers, errors, frames), as `decoded_frames`, of all `images` in their order."""
    from common.framework import tf

    frames = decoded_frames([images], np.arange(len(images)))
    return frames.batch(min(batch_size, len(images))).prefetch(tf.data.AUTOTUNE)
