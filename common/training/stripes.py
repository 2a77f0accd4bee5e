"""Stripes of rows of frames, whose intermediate results fit into a processor's cache."""

from collections.abc import Callable

from ..base.framework import tf

# Padding for 3x3 convolutions.
AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))


def map_stripes(
    function: Callable[[tf.Tensor], tf.Tensor],
    padded: tf.Tensor,
    rows: int,
    shape: tuple[int, ...],
    dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """Apply `function` to each stripe in turn; return [batch, height, width, channels].

    Args:
        function: from [1, rows + 2, width + 2, channels] to [1, *`shape`] of `dtype`.
        padded: frames with one row and column around them; their height is a multiple of `rows`.
    """
    stripes = (padded.shape[1] - 2) // rows
    done = tf.map_fn(
        lambda index: function(stripe(padded, index, rows))[0],
        tf.range(tf.shape(padded)[0] * stripes),
        fn_output_signature=tf.TensorSpec(shape, dtype),
        parallel_iterations=1,
    )
    return tf.reshape(done, (-1, stripes * shape[0], *shape[1:]))


def stripe(frames: tf.Tensor, index: tf.Tensor, rows: int, around: int = 1) -> tf.Tensor:
    """Slice stripe `index` of `rows` rows, with `around` rows and columns of padding around it."""
    _, height, width, channels = frames.shape
    stripes = (height - 2 * around) // rows
    start = (index // stripes, index % stripes * rows, 0, 0)
    return tf.slice(frames, start, (1, rows + 2 * around, width, channels))
