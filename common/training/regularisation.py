"""What keeps a predictor from learning pictures by heart; weight files stay as they are."""

import numpy as np

from ..base.framework import layers, tf
from ..models.heads import Block


def set_batch_norm_momentum(model: tf.keras.Model, momentum: float) -> None:
    """Let the statistics of all batch normalisations keep that share of themselves per step."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def start_with_single_branches(blocks: list[Block]) -> None:
    """Let each channel of a product of branches start as that of one branch alone, nearly.

    A product of three branches is cubic in a frame's contrast, so that training sees little but the
    strongest contrasts. Here each branch's normalisation gives, of every third channel, what it is
    to give, and of the others about 1.

    Args:
        blocks: those of the head; as many first ones as there are branches have one size.
    """
    widths = [block.convolution.input_shape[-1] for block in blocks]
    branches = [block.normalisation for block, width in zip(blocks, widths) if width == widths[0]]
    for number, branch in enumerate(branches):
        own = np.arange(branch.gamma.shape[0]) % len(branches) == number
        branch.gamma.assign(np.where(own, 1, 0.1))
        branch.beta.assign(np.where(own, 0, 1))


def with_dropout(
    model: tf.keras.Model, share: float, seed: int, step: tf.Variable
) -> tf.keras.Model:
    """`model` with the same variables, and in training dropout before its first dense layers.

    Args:
        share: of the values that become 0; the others grow by as much.
        seed, step: which these are depends on them alone, so that a resumed run sees the same.
    """

    def replaced(layer: layers.Layer) -> layers.Layer:
        dropped = isinstance(layer, layers.Flatten)
        return FlattenedDropout(layer.name, share, seed, step) if dropped else layer

    return tf.keras.models.clone_model(model, clone_function=replaced)


class FlattenedDropout(layers.Flatten):
    """`Flatten`, and in training dropout by seed and step.

    Source: Srivastava et al., "Dropout", JMLR 2014.
    """

    def __init__(self, name: str, share: float, seed: int, step: tf.Variable):
        super().__init__(name=name)
        self.share = share
        # In a function, since Keras would take `step` itself for a weight of this layer.
        self.drawn_by = lambda: tf.stack([seed, tf.cast(step, tf.int32)])

    def call(self, values: tf.Tensor, training: bool = False) -> tf.Tensor:
        flat = super().call(values)
        if not training:
            return flat
        return tf.nn.experimental.stateless_dropout(flat, self.share, self.drawn_by())
