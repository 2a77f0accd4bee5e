"""What frozen backbones give, computed once for each frame and kept on disk."""

import contextlib
import json
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..base.files import atomic_write, checksum
from ..base.framework import tf
from ..base.temporary import lock
from ..data.frames import batch_frames, raise_first


def cached_features(
    backbones: tf.keras.Model,
    images: list[Path],
    cache_dir: Path,
    mirrored: bool = False,
    precision: str = "float32",
) -> list[Path]:
    """The output of each of `backbones` for the frames of `images`, as they are or `mirrored`.

    One file in `cache_dir` per backbone: an array [images, ...] for `np.load`, float32 or, if that
    is the `precision`, float16, which takes half the space and holds up to 65,504. Files are
    named by a checksum of the backbones' weights and the images' bytes, have a checksum of their
    own beside them, and are made anew where either does not match. Of several processes that share
    the folder one makes them, and the rest wait.

    Raises:
        UserError: an image cannot be read.
    """
    weights = (weight.numpy().tobytes() for weight in backbones.weights)
    kind = [b"mirrored" * mirrored, b"float16" * (precision == "float16")]
    key = checksum(chain(weights, (image.read_bytes() for image in images), kind))
    shapes = [(len(images), *output.shape[1:]) for output in backbones.outputs]
    paths = [cache_dir / f"{key}-{number}.npy" for number in range(len(shapes))]
    kept = _storage_dtype(precision)
    with lock(cache_dir / key, wait=True):
        if not all(_is_complete(path, shape, kept) for path, shape in zip(paths, shapes)):
            _compute(backbones, images, paths, shapes, mirrored, precision)
    return paths


def _compute(
    backbones: tf.keras.Model,
    images: list[Path],
    paths: list[Path],
    shapes: list[tuple[int, ...]],
    mirrored: bool,
    precision: str,
) -> None:
    kind = _storage_dtype(precision)
    # What float16 cannot hold becomes its largest instead of infinite.
    limits = np.finfo(kind).min, np.finfo(kind).max
    run = tf.function(lambda frames: tf.nest.flatten(backbones(frames, training=False)))
    with contextlib.ExitStack() as stack:
        # The last to leave the stack: files take their names once all are written and closed.
        temporary = [stack.enter_context(atomic_write(path, overwrite=True)) for path in paths]
        files = [stack.enter_context(path.open("w+b")) for path in temporary]
        for file, shape in zip(files, shapes):
            header = {"descr": kind.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        with tqdm(total=len(images), desc="features", unit="frame", disable=None) as progress:
            for _, errors, frames in batch_frames(images, 1):
                raise_first(errors)
                frames = frames[:, :, ::-1] if mirrored else frames
                for file, output in zip(files, run(tf.cast(frames, tf.float32))):
                    values = tf.cast(output, tf.float32).numpy().clip(*limits)
                    file.write(values.astype(kind).tobytes())
                progress.update()
        for file, path, final in zip(files, temporary, paths):
            file.flush()
            with atomic_write(_record(final), overwrite=True) as beside:
                beside.write_text(json.dumps({"sha256": _checksum_of(path)}), encoding="utf-8")


def _storage_dtype(precision: str) -> np.dtype:
    return np.dtype(precision).newbyteorder("<")


def _is_complete(path: Path, shape: tuple[int, ...], kind: np.dtype) -> bool:
    """Whether the file is there, of that shape, and as it was written."""
    try:
        recorded = json.loads(_record(path).read_text(encoding="utf-8"))["sha256"]
        features = np.load(path, mmap_mode="r")
        as_written = features.shape == shape and features.dtype == kind
        return as_written and recorded == _checksum_of(path)
    # On damaged headers, NumPy raises exceptions of any type.
    except Exception:
        return False


def _checksum_of(path: Path) -> str:
    """The checksum of a file of features, read a row at a time."""
    return checksum(row.tobytes() for row in np.load(path, mmap_mode="r"))


def _record(path: Path) -> Path:
    return path.with_suffix(".json")
