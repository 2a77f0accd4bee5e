"""A model's training form for the CPU: the same values and gradients in less memory and time.

The first block of a head on reconstructions fills gigabytes between its input of 3 channels and its
output. Here it processes a few rows at a time, and does so again for the gradients. For REC, plain
Keras takes 2.4 times the memory at batch 2, 3.5 times at batch 8. Batch normalization needs the
convolution's mean and variance over the whole batch before the first row; they follow from the mean
and covariance of the 27 values of 3x3 pixels, since a convolution is a linear map of these. Large
convolutions use Winograd's method (see `winograd`).

    frames ─┬─ mean, covariance of 3x3 pixels ─ kernel, bias with normalization folded in ─┐
            └──────────────────────────── convolution, pooling, ReLU, stripe by stripe ────┴─

Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016 (recomputation).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base.framework import layers, tf
from ..models.heads import Block
from . import winograd
from .stripes import AROUND, map_stripes, stripe

# Rows of a stripe: with 640 columns and 512 channels, 16 rows take 21 MB.
_ROWS = 16
_COLOURS = 3
# Below this many multiply-accumulates per frame, compiling Winograd's method does not pay off.
_LARGE = 10**9


def training_form(model: tf.keras.Model, blocks: list[Block]) -> tf.keras.Model:
    """Return `model` in its training form, with the same variables, values and gradients.

    Args:
        blocks: the head's blocks; if none of them benefits, the model is returned unchanged.
    """
    replaced: dict[str, layers.Layer] = {}
    for block in blocks:
        name = block.convolution.name
        if block.sees_colours:
            replaced[name] = RecomputedBlock(block)
            for follower in block.followers:
                replaced[follower.name] = FoldedLayer(name=follower.name)
        elif is_large(block.convolution) and block.convolution.compute_dtype == "float32":
            replaced[name] = WinogradConvolution(block.convolution)
    if not replaced:
        return model
    return tf.keras.models.clone_model(
        model, clone_function=lambda layer: replaced.get(layer.name, layer)
    )


def is_large(layer: layers.Conv2D) -> bool:
    """Check whether `layer` is large enough for Winograd's method to pay off."""
    _, height, width, channels = layer.input_shape
    return channels > 3 and height * width * 9 * channels * layer.filters >= _LARGE


class FoldedLayer(layers.Layer):
    """The identity, in place of a layer that is folded into the preceding one."""

    def __init__(self, name: str):
        super().__init__(name=name, autocast=False)

    def call(self, inputs: tf.Tensor, **_: Any) -> tf.Tensor:
        return inputs


class WinogradConvolution(layers.Layer):
    """The 3x3 convolution `layer`, computed by Winograd's method."""

    def __init__(self, layer: layers.Conv2D):
        super().__init__(name=layer.name)
        self.layer = layer

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        kernel, bias = (tf.convert_to_tensor(each) for each in self.layer.weights)
        return winograd.convolution(frames, kernel) + bias


class RecomputedBlock(layers.Layer):
    """A block on colours: convolution, batch normalization, ReLU and 2x2 pooling in one layer.

    It computes in float32, and its output has the convolution's type.
    """

    def __init__(self, block: Block):
        super().__init__(name=block.convolution.name, dtype="float32")
        self.convolution, self.normalisation = block.convolution, block.normalisation

    def call(self, frames: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel, bias = (tf.convert_to_tensor(each) for each in self.convolution.weights)
        layer = self.normalisation
        if training:
            mean, variance = _moments_of_convolution(frames, kernel)
            mean += bias
            # As in Keras, the biased variance normalizes, and the unbiased one updates the average.
            count = tf.cast(tf.size(frames) / _COLOURS, tf.float32)
            unbiased = variance * count / (count - 1)
            for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, unbiased)):
                moving.assign(layer.momentum * moving + (1 - layer.momentum) * value)
        else:
            mean, variance = layer.moving_mean, layer.moving_variance
        scale = layer.gamma * tf.math.rsqrt(variance + layer.epsilon)
        bias = (bias - mean) * scale + layer.beta
        return _striped_block(frames, kernel * scale, bias, self.convolution.compute_dtype)


def _moments_of_convolution(frames: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute mean and variance [filters] of the 'same' convolution of `frames`."""
    taps = int(np.prod(kernel.shape[:3]))
    each_tap = np.eye(taps, dtype=np.float32).reshape(*kernel.shape[:3], taps)
    pixels = tf.reshape(tf.nn.conv2d(frames, each_tap, 1, "SAME"), (-1, taps))
    weights = tf.reshape(kernel, (taps, -1))
    mean = tf.reduce_mean(pixels, axis=0)
    centred = pixels - mean
    count = tf.cast(tf.shape(pixels)[0], pixels.dtype)
    covariance = tf.matmul(centred, centred, transpose_a=True) / count
    variance = tf.reduce_sum(weights * tf.matmul(covariance, weights), axis=0)
    return tf.linalg.matvec(weights, mean, transpose_a=True), variance


def _block(rows: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, dtype: str) -> tf.Tensor:
    sums = tf.nn.conv2d(tf.cast(rows, dtype), tf.cast(kernel, dtype), 1, "VALID")
    # ReLU is monotonic, so pooling first gives the same result at less cost.
    sums = tf.nn.max_pool2d(sums, 2, 2, "VALID")
    return tf.cast(tf.nn.relu(tf.cast(sums, bias.dtype) + bias), dtype)


@tf.autograph.experimental.do_not_convert
def _striped_block(frames: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, dtype: str) -> tf.Tensor:
    """Compute `_block` stripe by stripe, and again for the gradients."""
    shape = (_ROWS // 2, frames.shape[2] // 2, kernel.shape[-1])

    @tf.custom_gradient
    def compute(
        frames: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable]:
        padded = tf.pad(frames, AROUND)

        def block(rows: tf.Tensor) -> tf.Tensor:
            return _block(rows, kernel, bias, dtype)

        done = map_stripes(block, padded, _ROWS, shape, tf.as_dtype(dtype))
        return done, lambda upstream: _gradients(padded, kernel, bias, upstream)

    return compute(frames, kernel, bias)


def _gradients(
    padded: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute the gradients of frames, kernel and bias, stripe by stripe.

    Args:
        padded: frames [batch, height + 2, width + 2, colours], with a border of zeros.
        upstream: gradient of the block's output, [batch, height / 2, width / 2, filters].
    """
    _, height, width, colours = padded.shape
    # Batch and stripes in one axis: a stripe makes half as many rows of output.
    upstream = tf.reshape(upstream, (-1, _ROWS // 2, width // 2 - 1, kernel.shape[-1]))
    count, shape = tf.shape(upstream)[0], (_ROWS + 2, width, colours)

    def add_stripe(index, stripes_so_far, kernel_so_far, bias_so_far):
        sources = [stripe(padded, index, _ROWS), kernel, bias]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            block = _block(*sources, upstream.dtype)
        rows, *weights = tape.gradient(block, sources, upstream[index][tf.newaxis])
        sums = kernel_so_far + weights[0], bias_so_far + weights[1]
        return index + 1, stripes_so_far.write(index, rows[0]), *sums

    _, stripes, of_kernel, of_bias = tf.while_loop(
        lambda index, *_: index < count,
        add_stripe,
        (
            0,
            tf.TensorArray(tf.float32, count, element_shape=shape),
            tf.zeros_like(kernel),
            tf.zeros_like(bias),
        ),
        parallel_iterations=1,
    )
    # A stripe's last two rows are the next one's first two, and their gradients add up.
    rows = tf.reshape(stripes.stack(), (-1, (height - 2) // _ROWS, _ROWS + 2, width * colours))
    whole = tf.signal.overlap_and_add(tf.transpose(rows, (0, 3, 1, 2)), _ROWS)
    whole = tf.reshape(tf.transpose(whole, (0, 2, 1)), (-1, height, width, colours))
    return whole[:, 1:-1, 1:-1], of_kernel, of_bias
