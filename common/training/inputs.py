"""The batches that a predictor is trained on: frames or their features, and the targets."""

from collections.abc import Callable

import numpy as np

from ..base.framework import tf
from ..base.parallel import parallel_map
from ..codec.entropy_model import quantize
from ..data.frames import decode_frames, read_frame, untuned_options
from ..models.build import JND_FRAME
from .augmentation import apply_move
from .settings import TrainingSplit


def check_readable(split: TrainingSplit) -> None:
    """Read all frames of a split, so that errors show now and not after hours.

    Raises:
        UserError: a frame cannot be read.
    """
    paths = sorted({path for column in split.frames for path in column})
    parallel_map(lambda path: read_frame(path) is None, paths, "checking frames")


def training_batches(
    split: TrainingSplit,
    order: np.ndarray,
    batch_size: int,
    outputs: list[str],
    moves: np.ndarray | None = None,
    offsets: list[np.ndarray] | None = None,
) -> tf.data.Dataset:
    """Make batches (inputs, targets by output name) of a split in `order`, read ahead of use.

    Inputs are the cached features if the split has them, else frames. A frame that cannot be read
    ends the dataset with TensorFlow's InvalidArgumentError.

    Args:
        moves: moves of each image's features, from `draw_moves`.
        offsets: quantization offsets [channels] of each backbone's latents.
    """
    levels, batch_size = tf.constant(split.levels), min(batch_size, len(order))

    def make_batch(numbers: tf.Tensor, *given: tf.Tensor) -> tuple:
        arrays = [tf.cast(array, tf.float32) for array in given]
        columns = tf.split(tf.gather(levels, numbers), len(outputs), axis=1)
        targets = dict(zip(outputs, columns))
        if split.jnd_frames:
            targets[JND_FRAME] = arrays.pop()
        if offsets:
            arrays = [quantize(each, offset) for each, offset in zip(arrays, offsets)]
        return arrays[0] if len(arrays) == 1 else tuple(arrays), targets

    if split.features:
        data = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        data = data.map(_make_reader(split, moves), tf.data.AUTOTUNE)
    else:
        data = decode_frames(split.frames, order).map(_make_mirror(split)).batch(batch_size)
    data = data.map(make_batch, tf.data.AUTOTUNE).prefetch(2)
    options = untuned_options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def _make_mirror(split: TrainingSplit) -> Callable:
    """Return a function that mirrors a row of `decode_frames` if it is a mirrored copy."""

    def mirror(number: tf.Tensor, error: tf.Tensor, *frames: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.control_dependencies([tf.debugging.assert_equal(error, "")]):
            is_copy = number >= split.originals
        return number, *(tf.where(is_copy, frame[:, ::-1], frame) for frame in frames)

    return mirror


def _make_reader(split: TrainingSplit, moves: np.ndarray | None) -> Callable:
    """Return a function that reads the features of frames [batch], one array per backbone."""
    features = split.features or []
    kinds = [np.load(paths[0], mmap_mode="r") for paths in features]
    shapes, types = [kind.shape[1:] for kind in kinds], [kind.dtype for kind in kinds]

    def read(numbers: np.ndarray) -> list[np.ndarray]:
        # Map the files again for each batch: pages read earlier would count as our memory.
        batch = []
        for paths in features:
            files = [np.load(path, mmap_mode="r") for path in paths]
            rows = [files[n // split.originals][n % split.originals] for n in numbers]
            if moves is not None:
                rows = [apply_move(row, moves[n]) for row, n in zip(rows, numbers)]
            batch.append(np.stack(rows))
        return batch

    def read_features(numbers: tf.Tensor) -> tuple[tf.Tensor, ...]:
        arrays = tf.numpy_function(read, [numbers], types)
        return numbers, *(tf.ensure_shape(a, (None, *shape)) for a, shape in zip(arrays, shapes))

    return read_features
