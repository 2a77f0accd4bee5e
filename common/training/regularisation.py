"""Regularization of a head that would otherwise overfit; weight files keep their layout."""

import numpy as np

from ..base.framework import layers, tf
from ..models.heads import Block


def set_batch_norm_momentum(model: tf.keras.Model, momentum: float) -> None:
    """Set the momentum of the moving averages of all batch normalizations."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def start_with_single_branches(blocks: list[Block]) -> None:
    """Initialize each channel of the product of branches as nearly that of a single branch.

    The product of three branches is cubic in contrast, so low-contrast frames would give almost no
    signal. Here each branch's normalization scales its own third of the channels as usual, and the
    others start near 1.

    Args:
        blocks: the head's blocks; the branches come first, and have the same input channels.
    """
    widths = [block.convolution.input_shape[-1] for block in blocks]
    branches = [block.normalisation for block, width in zip(blocks, widths) if width == widths[0]]
    for number, branch in enumerate(branches):
        own = np.arange(branch.gamma.shape[0]) % len(branches) == number
        branch.gamma.assign(np.where(own, 1, 0.1))
        branch.beta.assign(np.where(own, 0, 1))


def add_dropout(model: tf.keras.Model, rate: float, seed: int, step: tf.Variable) -> tf.keras.Model:
    """Clone `model` with dropout before its first dense layers, sharing its variables."""

    def replace(layer: layers.Layer) -> layers.Layer:
        flattens = isinstance(layer, layers.Flatten)
        return FlattenedDropout(layer.name, rate, seed, step) if flattens else layer

    return tf.keras.models.clone_model(model, clone_function=replace)


class FlattenedDropout(layers.Flatten):
    """`Flatten` with dropout in training, which depends only on seed and step.

    Keras's own Dropout uses a generator whose state is not saved for a resumed run.

    Source: Srivastava et al., "Dropout", JMLR 2014.
    """

    def __init__(self, name: str, rate: float, seed: int, step: tf.Variable):
        super().__init__(name=name)
        self.rate = rate
        # A function, since Keras would take the attribute `step` for a weight of this layer.
        self.make_seed = lambda: tf.stack([seed, tf.cast(step, tf.int32)])

    def call(self, values: tf.Tensor, training: bool = False) -> tf.Tensor:
        flat = super().call(values)
        if not training:
            return flat
        return tf.nn.experimental.stateless_dropout(flat, self.rate, self.make_seed())
