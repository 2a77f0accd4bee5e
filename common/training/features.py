"""The output of frozen backbones for each frame, computed once and cached on disk."""

import contextlib
import json
from itertools import chain
from pathlib import Path

import numpy as np

from ..base.files import atomic_write, checksum
from ..base.framework import tf
from ..base.progress import Progress
from ..base.temporary import lock
from ..data.frames import batch_frames, raise_first
from .settings import TrainingSplit


def cache_split(
    backbones: tf.keras.Model, split: TrainingSplit, cache_dir: Path, precision: str
) -> TrainingSplit:
    """Cache the features of a split with `cache_features`; return the split with their files."""
    originals = split.images[: split.originals]
    mirrors = (False, True) if split.mirrored else (False,)
    files = [cache_features(backbones, originals, cache_dir, each, precision) for each in mirrors]
    return split._replace(features=[list(of_backbone) for of_backbone in zip(*files)])


def cache_features(
    backbones: tf.keras.Model,
    images: list[Path],
    cache_dir: Path,
    mirrored: bool = False,
    precision: str = "float32",
) -> list[Path]:
    """Compute each backbone's output for `images` and cache it, unless it is cached already.

    There is one file per backbone, an array [images, ...] for `np.load`. Its name is a checksum of
    the backbones' weights and the images' bytes, and it is written again if it does not match its
    own checksum, which is recorded in a JSON file. If several processes share the folder, one
    computes and the others wait.

    Args:
        mirrored: whether the frames are mirrored.
        precision: 'float32', or 'float16', which needs half the space and clips at 65,504.

    Raises:
        UserError: an image cannot be read.
    """
    weights = (weight.numpy().tobytes() for weight in backbones.weights)
    kind = [b"mirrored" * mirrored, b"float16" * (precision == "float16")]
    key = checksum(chain(weights, (image.read_bytes() for image in images), kind))
    dtype = np.dtype(precision).newbyteorder("<")
    shapes = [(len(images), *output.shape[1:]) for output in backbones.outputs]
    paths = [cache_dir / f"{key}-{number}.npy" for number in range(len(shapes))]
    with lock(cache_dir / key, wait=True):
        if not all(_is_complete(path, shape, dtype) for path, shape in zip(paths, shapes)):
            _write_features(backbones, images, mirrored, dict(zip(paths, shapes)), dtype)
    return paths


def _write_features(
    backbones: tf.keras.Model,
    images: list[Path],
    mirrored: bool,
    shapes: dict[Path, tuple[int, ...]],
    dtype: np.dtype,
) -> None:
    limits = np.finfo(dtype).min, np.finfo(dtype).max  # of float16, to clip larger values
    run = tf.function(lambda frames: tf.nest.flatten(backbones(frames, training=False)))
    with contextlib.ExitStack() as stack:
        # Entered first and so left last: files are renamed once all are written and closed.
        temporary = [stack.enter_context(atomic_write(path, overwrite=True)) for path in shapes]
        # Not a memory map: on a full disk, writing to one kills the process.
        files = [stack.enter_context(path.open("w+b")) for path in temporary]
        for file, shape in zip(files, shapes.values()):
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        with Progress(desc="computing features", total=len(images), unit="frame") as progress:
            for _, errors, frames in batch_frames(images, 1):
                raise_first(errors)
                frames = frames[:, :, ::-1] if mirrored else frames
                for file, output in zip(files, run(tf.cast(frames, tf.float32))):
                    values = tf.cast(output, tf.float32).numpy().clip(*limits)
                    file.write(values.astype(dtype).tobytes())
                progress.update()
        for file, path, final in zip(files, temporary, shapes):
            file.flush()
            with atomic_write(final.with_suffix(".json"), overwrite=True) as record:
                record.write_text(json.dumps({"sha256": _checksum_of(path)}), encoding="utf-8")


def _is_complete(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Check that the file exists with that shape and type, and matches its checksum."""
    try:
        recorded = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
        features = np.load(path, mmap_mode="r")
        expected = features.shape == shape and features.dtype == dtype
        return expected and recorded == _checksum_of(path)
    # On damaged headers, NumPy raises exceptions of any type.
    except Exception:
        return False


def _checksum_of(path: Path) -> str:
    """Compute the checksum of a file of features, row by row."""
    return checksum(row.tobytes() for row in np.load(path, mmap_mode="r"))
