"""A trained model's fast form for the CPU: the same function with fewer operations.

Each convolution takes in the batch normalisation, activation and pooling that follow it and runs
over a few rows at a time, so that what lies between them stays in the processor's cache instead of
filling gigabytes; the large ones run by Winograd's method.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow.keras import layers

from common.models import winograd

# What a stripe of rows may take between the steps, in bytes: about half of a last-level cache.
_STRIPE_BYTES = 16 * 2**20
# Below this many multiply-accumulates Winograd's method saves less than its compilation takes.
_LARGE = 10**9
_RELU = "tf.nn.relu"


def fast_form(model: tf.keras.Model) -> tf.keras.Model:
    """`model` with the same inputs, outputs and values, for predicting one frame at a time.

    Weights are copied as they are now. The batch must be 1.
    """
    taken_in = set()

    def fast(layer: layers.Layer) -> layers.Layer:
        # A ReLU that was taken in may stay: it changes nothing the second time.
        if layer.name in taken_in and not layer.name.startswith(_RELU):
            return layers.Activation("linear", name=layer.name)
        if isinstance(layer, layers.Conv2D) and layer.output_shape[-1] > 3:
            followers = _followers(layer)
            pools = any(isinstance(follower, layers.MaxPooling2D) for follower in followers)
            large = _multiply_accumulates(layer) >= _LARGE and layer.compute_dtype == "float32"
            if pools or large:
                taken_in.update(follower.name for follower in followers)
                return StripedConvolution(layer, followers, large and layer.input_shape[-1] > 3)
        return type(layer).from_config(layer.get_config())

    fast_model = tf.keras.models.clone_model(model, clone_function=fast)
    for layer in model.layers:
        copy = fast_model.get_layer(layer.name)
        if type(copy) is type(layer):
            copy.set_weights(layer.get_weights())
    return fast_model


def _followers(layer: layers.Layer) -> list[layers.Layer]:
    """The normalisation, activation and pooling that alone consume what `layer` gives."""
    followers = []
    while len(layer.outbound_nodes) == 1:
        layer = layer.outbound_nodes[0].outbound_layer
        kinds = (layers.BatchNormalization, layers.LeakyReLU, layers.MaxPooling2D)
        if not isinstance(layer, kinds) and not layer.name.startswith(_RELU):
            break
        followers.append(layer)
    return followers


def _multiply_accumulates(layer: layers.Conv2D) -> int:
    transposed = isinstance(layer, layers.Conv2DTranspose)
    _, height, width, _ = layer.input_shape if transposed else layer.output_shape
    return height * width * int(np.prod(layer.kernel.shape))


class StripedConvolution(layers.Layer):
    """A convolution and its followers on a frame [1, height, width, channels], stripe by stripe."""

    def __init__(self, layer: layers.Conv2D, followers: list[layers.Layer], by_winograd: bool):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        kernel, bias = _folded(layer, followers)
        self.doubles = isinstance(layer, layers.Conv2DTranspose)
        self.halves = not self.doubles and layer.strides == (2, 2)
        if self.halves:
            kernel = winograd.pixels_to_channels(kernel)
        if self.doubles:
            kernel, bias = winograd.channels_to_pixels(kernel), np.tile(bias, 4)
        if by_winograd:
            kernel = winograd.transform_kernel(kernel)
        self.kernel, self.bias = self._constant(kernel), self._constant(bias)
        self.leak = next((f.alpha for f in followers if isinstance(f, layers.LeakyReLU)), 0.0)
        self.pools = any(isinstance(f, layers.MaxPooling2D) for f in followers)
        self.by_winograd = by_winograd

    def _constant(self, value: np.ndarray) -> tf.Variable:
        initializer = tf.constant_initializer(value)
        return self.add_weight(shape=value.shape, initializer=initializer, trainable=False)

    def call(self, frame: tf.Tensor) -> tf.Tensor:
        if self.halves:
            frame = tf.nn.space_to_depth(frame, 2)
        _, height, width, channels = frame.shape
        filters = self.kernel.shape[-1]
        tile = winograd.TILE
        across = -(-width // tile)
        # A row of tiles: 36 values for each tile and channel, before the products and after.
        row_bytes = 36 * across * (channels + filters) * tf.as_dtype(self.compute_dtype).size
        stripes = -(-height // (tile * max(1, _STRIPE_BYTES // row_bytes)))
        rows = tile * -(-height // (tile * stripes))
        below, right = 1 + stripes * rows - height, 1 + tile * across - width
        frame = tf.pad(frame, [[0, 0], [1, below], [1, right], [0, 0]])

        def stripe(start: tf.Tensor) -> tf.Tensor:
            taken = tf.slice(frame, [0, start, 0, 0], [1, rows + 2, frame.shape[2], channels])
            if not self.by_winograd:
                return self._finish(tf.nn.conv2d(taken, self.kernel, 1, "VALID"), self.bias)[0]
            products = tf.matmul(winograd.transform_input(taken), self.kernel)
            return self._from_products(products, self.bias, across)[0]

        shrink = 2 if self.pools else 1
        shape = (rows // shrink, tile * across // shrink, filters)
        done = tf.map_fn(
            stripe,
            tf.range(0, stripes * rows, rows),
            fn_output_signature=tf.TensorSpec(shape, self.compute_dtype),
            parallel_iterations=1,
        )
        done = tf.reshape(done, (1, stripes * shape[0], *shape[1:]))
        done = done[:, : height // shrink, : width // shrink]
        return tf.nn.depth_to_space(done, 2) if self.doubles else done

    @tf.function(jit_compile=True)
    def _from_products(self, products: tf.Tensor, bias: tf.Tensor, across: int) -> tf.Tensor:
        return self._finish(winograd.transform_output(products, across), bias)

    def _finish(self, rows: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        # Both activations rise with their input, so pooling first gives the same for less.
        if self.pools:
            rows = tf.nn.max_pool2d(rows, 2, 2, "VALID")
        rows = rows + tf.cast(bias, rows.dtype)
        return tf.maximum(rows, self.leak * rows)


def _folded(
    layer: layers.Conv2D, followers: list[layers.Layer]
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of `layer`, with the batch normalisation after it, if any, taken in."""
    kernel, bias = layer.get_weights()
    for follower in followers:
        if isinstance(follower, layers.BatchNormalization):
            gamma, beta, mean, variance = follower.get_weights()
            scale = gamma / np.sqrt(variance + follower.epsilon)
            kernel, bias = kernel * scale, (bias - mean) * scale + beta
    return kernel, bias
