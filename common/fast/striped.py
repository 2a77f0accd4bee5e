"""A trained model's fast form for the CPU: the same function with fewer operations.

Each convolution of a head takes in the batch normalisation, ReLU and pooling that follow it and
runs over a few rows at a time, so that what lies between them stays in the processor's cache
instead of filling gigabytes; the large ones run by Winograd's method. (The backbone's 5x5
convolutions with stride 2 can be written as 3x3 ones on four times the channels; measured, that
gained nothing, by Winograd's method neither: TensorFlow's batched products run at less than half
the speed of its convolutions.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.fast import winograd
from common.fast.stripes import map_stripes
from common.framework import layers, tf
from common.models.build import Parts
from common.models.heads import Block
from common.models.rounding import rounded

# What the products of a stripe of rows by Winograd's method, and the sums of any other, may take in
# bytes, so that they stay in a cache; and the sums of a frame that is not cut. Measured on a
# processor with a last-level cache of 32 MB.
_PRODUCT_BYTES, _SUM_BYTES, _FRAME_BYTES = 16 * 2**20, 8 * 2**20, 32 * 2**20
# With fewer multiply-accumulates per frame, Winograd's method saves less than compiling it takes.
_LARGE = 10**9
_BFLOAT16 = tf.bfloat16.as_numpy_dtype


def fast_form(model: Parts, precision: str = "float32") -> tf.keras.Model:
    """`model.predicting` with the same inputs, outputs and values, in less time and memory.

    It must be a float32 one; weights are copied as they are now. The backbones are fastest one
    frame at a time, a head on latents many at once.

    With `precision` 'bfloat16' the backbones but for a reconstruction's last layer, and the head's
    convolutions, compute in it. Biases, attention and dense layers stay in float32, and kernels are
    rounded with care: together that keeps levels within 1 %, where a plain bfloat16 model strays by
    up to 5 %.
    """
    replaced: dict[str, layers.Layer] = {}
    for block in model.blocks:
        replaced[block.convolution.name] = StripedConvolution(block, precision)
        for taken_in in block.followers:
            replaced[taken_in.name] = TakenIn(name=taken_in.name)
    in_bfloat16: set[str] = set()
    if precision == "bfloat16":
        for backbone in model.backbones:
            # Inputs first; a synthesis transform's last layer stays in float32 in any form.
            in_bfloat16.update(layer.name for layer in backbone.analysis.layers[1:])
            if backbone.synthesis:
                in_bfloat16.update(layer.name for layer in backbone.synthesis.layers[1:-1])

    def fast(layer: layers.Layer) -> layers.Layer:
        if layer.name in replaced:
            return replaced[layer.name]
        config = layer.get_config()
        if layer.name in in_bfloat16:
            config["dtype"] = "mixed_bfloat16"
        return type(layer).from_config(config)

    fast_model = tf.keras.models.clone_model(model.predicting, clone_function=fast)
    for layer in model.predicting.layers:
        if layer.name not in replaced:
            copy, weights = fast_model.get_layer(layer.name), layer.get_weights()
            if layer.name in in_bfloat16:
                weights[:1] = map(_rounded, weights[:1])  # the kernel, where there is one
            copy.set_weights(weights)
    return fast_model


def halves(predicting: tf.keras.Model, model: Parts) -> tuple[tf.keras.Model, tf.keras.Model]:
    """`predicting`, `model`'s or its fast form, up to what the backbones give; and the rest."""
    names = [each.node.layer.name for each in model.features.outputs]
    seen = [predicting.get_layer(name).output for name in names]
    return tf.keras.Model(predicting.inputs, seen), tf.keras.Model(seen, predicting.outputs)


def is_large(layer: layers.Conv2D) -> bool:
    """Whether Winograd's method pays for `layer`."""
    _, height, width, channels = layer.input_shape
    return channels > 3 and height * width * 9 * channels * layer.filters >= _LARGE


def _rounded(kernel: np.ndarray) -> np.ndarray:
    """`kernel` [height, width, in, out] in bfloat16."""
    taps = kernel.reshape(-1, *kernel.shape[2:])
    return rounded(taps, lambda tap: tap.astype(_BFLOAT16)).reshape(kernel.shape)


class TakenIn(layers.Layer):
    """In place of a layer whose work another one does."""

    def __init__(self, name: str):
        super().__init__(name=name, autocast=False)

    def call(self, inputs: tf.Tensor, **_: Any) -> tf.Tensor:
        return inputs


class StripedConvolution(layers.Layer):
    """A block of a head on frames [batch, height, width, channels], stripe by stripe.

    Where a stripe would hold a whole frame, all frames go at once: that is faster the smaller they
    are. In bfloat16 it gives bfloat16, which is what the next one would round to. The bias stays in
    float32: it is added apart, or to colours, of which there are few, as two more terms that in sum
    are as good as that.
    """

    def __init__(self, block: Block, precision: str):
        super().__init__(name=block.convolution.name, autocast=False)
        kernel, bias = _folded(block)
        self.by_winograd = is_large(block.convolution) and precision == "float32"
        self.adds_one = block.sees_colours and precision == "bfloat16"
        if self.by_winograd:
            kernel = winograd.transform_kernel(kernel)
        elif precision == "bfloat16":
            kernel = _rounded(kernel).astype(_BFLOAT16)
            if self.adds_one:
                kernel, bias = _with_bias(kernel, bias), np.zeros_like(bias, _BFLOAT16)
        self.kernel, self.bias = (tf.Variable(each, trainable=False) for each in (kernel, bias))
        self.pools = block.pooling is not None

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        _, height, width, _ = frames.shape
        kernel, tile = tf.convert_to_tensor(self.kernel), winograd.TILE
        across = -(-width // tile)
        if self.by_winograd:  # 36 values of each tile and channel, before the products and after
            of_row, most = 36 * across * sum(kernel.shape[-2:]), _PRODUCT_BYTES
        else:
            of_row, most = tile * width * kernel.shape[-1], _SUM_BYTES
            if of_row * kernel.dtype.size * height <= tile * _FRAME_BYTES:
                most = _FRAME_BYTES
        stripes = -(-height // (tile * max(1, most // (of_row * kernel.dtype.size))))
        rows = tile * -(-height // (tile * stripes))
        below, right = 1 + stripes * rows - height, 1 + tile * across - width
        padded = tf.pad(tf.cast(frames, kernel.dtype), [[0, 0], [1, below], [1, right], [0, 0]])
        if self.adds_one:
            padded = tf.concat([padded, tf.ones_like(padded[..., :1])], axis=-1)
        shrink = 2 if self.pools else 1
        if stripes == 1 and not self.by_winograd:
            done = self._plain(padded, kernel)
        else:
            shape = (rows // shrink, tile * across // shrink, self.bias.shape[0])

            def of_stripe(taken: tf.Tensor) -> tf.Tensor:
                if not self.by_winograd:
                    return self._plain(taken, kernel)
                products = tf.matmul(winograd.transform_input(taken), kernel)
                return self._from_products(products, self.bias, across)

            done = map_stripes(of_stripe, padded, rows, shape, kernel.dtype)
        return done[:, : height // shrink, : width // shrink]

    def _plain(self, padded: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        sums = tf.nn.conv2d(padded, kernel, 1, "VALID")
        if self.bias.dtype != kernel.dtype:
            return tf.cast(finished(sums, self.bias, self.pools), kernel.dtype)
        # TensorFlow makes one operation of these three.
        sums = tf.nn.relu(tf.nn.bias_add(sums, self.bias))
        return tf.nn.max_pool2d(sums, 2, 2, "VALID") if self.pools else sums

    @tf.function(jit_compile=True)
    def _from_products(self, products: tf.Tensor, bias: tf.Tensor, across: int) -> tf.Tensor:
        return finished(winograd.transform_output(products, across), bias, self.pools)


def finished(sums: tf.Tensor, bias: tf.Tensor, pools: bool) -> tf.Tensor:
    """What follows the sums of a convolution: bias, ReLU and, if it `pools`, 2x2 pooling."""
    # ReLU rises with its input, so pooling first gives the same for less.
    if pools:
        sums = tf.nn.max_pool2d(sums, 2, 2, "VALID")
    return tf.nn.relu(tf.cast(sums, bias.dtype) + bias)


def _folded(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of the convolution with the batch normalisation after it taken in."""
    kernel, bias = block.convolution.get_weights()
    gamma, beta, mean, variance = block.normalisation.get_weights()
    scale = gamma / np.sqrt(variance + block.normalisation.epsilon)
    return kernel * scale, (bias - mean) * scale + beta


def _with_bias(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A kernel in bfloat16 for frames with one more channel, of ones, so that the bias is added.

    What bfloat16 leaves of the bias is added by another tap.
    """
    ones = np.zeros((*kernel.shape[:2], 1, kernel.shape[3]), kernel.dtype)
    ones[0, 0, 0] = bias
    ones[1, 1, 0] = bias - ones[0, 0, 0].astype(bias.dtype)
    return np.concatenate([kernel, ones], axis=2)
