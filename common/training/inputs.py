"""What a predictor is trained on: batches of frames, or of their features, and what is wanted."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.framework import tf
from ..base.parallel import parallel_map
from ..codec.entropy_model import quantize
from ..data.frames import decode_frames, read_frame, untuned_options
from ..models.build import JND_FRAME
from .features import cached_features


class TrainingSplit(NamedTuple):
    """The frames of train or valid, and what is to be made of them."""

    images: list[Path]
    levels: np.ndarray  # float32 [images, levels that are predicted]
    jnd_frames: list[Path] | None  # if trained end to end
    mirrored: int = 0  # so many images, the last ones, are seen mirrored
    contents: np.ndarray | None = None  # str [images]: what frames of one picture or clip share

    @property
    def frames(self) -> list[list[Path]]:
        """Columns for `decode_frames`."""
        return [self.images, *([self.jnd_frames] if self.jnd_frames else [])]


Features = list[list[Path]]
"""Files of cached features, for each backbone: of the images, and of the mirrored ones if any."""


def with_mirrored(split: TrainingSplit) -> TrainingSplit:
    """Each frame twice: as it is, and mirrored."""
    return TrainingSplit(
        split.images * 2,
        np.tile(split.levels, (2, 1)),
        split.jnd_frames and split.jnd_frames * 2,
        len(split.images),
        None if split.contents is None else np.tile(split.contents, 2),
    )


def features_of(
    frozen: tf.keras.Model, split: TrainingSplit, cache_dir: Path, precision: str
) -> Features:
    """The features that the `frozen` backbones give of a split, kept in float32 or float16.

    Raises:
        UserError: as `cached_features`.
    """
    straight = split.images[: len(split.images) - split.mirrored]
    turns = (False, True) if split.mirrored else (False,)
    files = [cached_features(frozen, straight, cache_dir, turn, precision) for turn in turns]
    return [list(of_backbone) for of_backbone in zip(*files)]


def check_readable(split: TrainingSplit) -> None:
    """Read all frames of a split: better to fail now than after hours.

    Raises:
        UserError: one cannot be read.
    """
    paths = sorted({path for column in split.frames for path in column})
    parallel_map(lambda path: read_frame(path) is None, paths, "looking at frames")


def training_batches(
    split: TrainingSplit,
    order: np.ndarray,
    batch_size: int,
    outputs: list[str],
    features: Features | None,
    moves: np.ndarray | None = None,
    offsets: list[np.ndarray] | None = None,
) -> tf.data.Dataset:
    """Batches (inputs, targets by output name) of a split in `order`, read ahead of their use.

    Inputs are frames, or `features`, each moved as its row of `moves` [images, 3] says: rolled
    round by shares of its height and width, and then mirrored where the third is 1; and, where
    there are `offsets` [channels] of the backbones, rounded to integers plus these. A frame that
    cannot be read ends it with an error of TensorFlow's.
    """
    levels, batch_size = tf.constant(split.levels), min(batch_size, len(order))
    straight = len(split.images) - split.mirrored

    def whole(number: tf.Tensor, error: tf.Tensor, *frames: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.control_dependencies([tf.debugging.assert_equal(error, "")]):
            mirrored = number >= straight
        return number, *(tf.where(mirrored, frame[:, ::-1], frame) for frame in frames)

    def batch(numbers: tf.Tensor, *given: tf.Tensor) -> tuple:
        arrays = [tf.cast(array, tf.float32) for array in given]
        wanted = tf.split(tf.gather(levels, numbers), len(outputs), axis=1)
        targets = dict(zip(outputs, wanted))
        if split.jnd_frames:
            targets[JND_FRAME] = arrays.pop()
        if offsets:
            arrays = [quantize(each, offset) for each, offset in zip(arrays, offsets)]
        return arrays[0] if len(arrays) == 1 else tuple(arrays), targets

    if features:
        data = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        data = data.map(_gathering(features, straight, moves), tf.data.AUTOTUNE)
    else:
        data = decode_frames(split.frames, order).map(whole).batch(batch_size)
    data = data.map(batch, tf.data.AUTOTUNE).prefetch(2)
    options = untuned_options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def _gathering(features: Features, straight: int, moves: np.ndarray | None):
    """From numbers of frames [batch] to these and their features, one tensor per backbone."""
    kinds = [np.load(paths[0], mmap_mode="r") for paths in features]
    shapes, types = [kind.shape[1:] for kind in kinds], [kind.dtype for kind in kinds]

    def moved(feature: np.ndarray, number: int) -> np.ndarray:
        if moves is None:
            return feature
        *shares, mirrored = moves[number]
        by = (np.array(shares) * feature.shape[:2]).astype(int)
        return np.roll(feature, by, axis=(0, 1))[:, :: -1 if mirrored else 1]

    def gather(numbers: np.ndarray) -> list[np.ndarray]:
        # Mapped anew for each batch, or pages once read would count as this process's memory.
        mapped = [[np.load(path, mmap_mode="r") for path in paths] for paths in features]
        return [
            np.stack([moved(halves[n // straight][n % straight], n) for n in numbers])
            for halves in mapped
        ]

    def gathered(numbers: tf.Tensor) -> tuple[tf.Tensor, ...]:
        arrays = tf.numpy_function(gather, [numbers], types)
        return numbers, *(tf.ensure_shape(a, (None, *shape)) for a, shape in zip(arrays, shapes))

    return gathered
