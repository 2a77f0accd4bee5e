"""What frozen backbones give, computed once for each frame and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from common.data.frames import frame_batches
from common.errors import UserError
from common.files import replaced


def cached_features(
    backbones: tf.keras.Model, images: list[Path], cache_dir: Path, mirrored: bool = False
) -> list[Path]:
    """The output of each of `backbones` for the frames of `images`, as they are or `mirrored`.

    One file in `cache_dir` a backbone: a float32 array [images, ...] for `np.load`. Files are
    named by a checksum of the backbones' weights and the images' bytes, hold a checksum of their
    own, and are made anew where either does not match.

    Raises:
        UserError: an image cannot be read.
    """
    weights = (weight.numpy().tobytes() for weight in backbones.weights)
    turned = [b"mirrored" * mirrored]
    key = _checksum(chain(weights, (image.read_bytes() for image in images), turned))
    shapes = [(len(images), *output.shape[1:]) for output in backbones.outputs]
    paths = [cache_dir / f"{key}-{number}.npy" for number in range(len(shapes))]
    if not all(_whole(path, shape) for path, shape in zip(paths, shapes)):
        _compute(backbones, images, paths, shapes, mirrored)
    return paths


def _compute(
    backbones: tf.keras.Model,
    images: list[Path],
    paths: list[Path],
    shapes: list[tuple[int, ...]],
    mirrored: bool,
) -> None:
    run = tf.function(lambda frames: tf.nest.flatten(backbones(frames, training=False)))
    made = [path.with_name(f".{path.name}") for path in paths]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [
        np.lib.format.open_memmap(path, "w+", np.float32, shape)
        for path, shape in zip(made, shapes)
    ]
    bad: list[UserError] = []
    with tqdm(total=len(images), desc="features", unit="frame", disable=None) as progress:
        for numbers, frames in frame_batches(images, 1, bad):
            if bad:
                break
            if mirrored:
                frames = frames[:, :, ::-1]
            for array, output in zip(arrays, run(tf.cast(frames, tf.float32))):
                array[numbers] = output
            progress.update()
    if bad:
        for path in made:
            path.unlink()
        raise bad[0]
    for array, path, final in zip(arrays, made, paths):
        array.flush()
        checksum = {"sha256": _checksum(row.tobytes() for row in array)}
        path.replace(final)
        with replaced(_record(final)) as beside:
            beside.write_text(json.dumps(checksum))


def _whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file is there, of that shape, and as it was written."""
    try:
        array = np.load(path, mmap_mode="r")
        recorded = json.loads(_record(path).read_text())["sha256"]
    except (OSError, ValueError, KeyError):
        return False
    return array.shape == shape and recorded == _checksum(row.tobytes() for row in array)


def _record(path: Path) -> Path:
    return path.with_suffix(".json")


def _checksum(parts: Iterable[bytes]) -> str:
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part)
    return checksum.hexdigest()
