"""Heads, which map the latents or reconstructions of the backbones to one level or three."""

from collections.abc import Callable
from typing import NamedTuple

from ..base.framework import layers, tf
from .attention import channel_attention


class Block(NamedTuple):
    """A convolution of a head, and the layers that follow it."""

    convolution: layers.Conv2D
    normalisation: layers.BatchNormalization
    activation: layers.Layer
    pooling: layers.MaxPooling2D | None

    @property
    def followers(self) -> list[layers.Layer]:
        """The layers after the convolution."""
        return [layer for layer in self[1:] if layer]

    @property
    def sees_colours(self) -> bool:
        """Whether its input is a reconstruction, as in the first blocks of `rec_head`."""
        return self.convolution.input_shape[-1] == 3


def build_block(features: tf.Tensor, filters: int, pools: bool) -> tuple[tf.Tensor, Block]:
    """Apply convolution, batch normalisation, ReLU and, if it `pools`, 2x2 max pooling."""
    convolution, normalisation = layers.Conv2D(filters, 3, padding="same"), _normalisation()
    pooling = layers.MaxPooling2D() if pools else None
    x = tf.nn.relu(normalisation(convolution(features)))
    block = Block(convolution, normalisation, x.node.layer, pooling)
    return pooling(x) if pooling else x, block


def _normalisation() -> layers.Layer:
    # On several devices, compute the statistics over the whole batch, as on one.
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return layers.BatchNormalization(synchronized=several)


def _product(branches: list[tf.Tensor]) -> tf.Tensor:
    return layers.Multiply()(branches) if len(branches) > 1 else branches[0]


def _dense(x: tf.Tensor, units: int, name: str | None = None) -> tf.Tensor:
    # Always in float32: bfloat16 would round a level of 30 to a multiple of 1/8.
    return layers.Dense(units, activation="relu", name=name, dtype="float32")(x)


def lat_head(latents: list[tf.Tensor], outputs: list[str]) -> tuple[list[tf.Tensor], list[Block]]:
    """Map one latent [batch, 22, 40, 192] per backbone to a level [batch, 1] per output name."""
    blocks: list[Block] = []

    def lat_block(x: tf.Tensor, filters: int) -> tf.Tensor:
        x, block = build_block(x, filters, pools=False)
        blocks.append(block)
        return channel_attention(x)

    normalised = [_normalisation()(latent) for latent in latents]
    x = _product([lat_block(latent, 64) for latent in normalised])
    x = layers.MaxPooling2D()(lat_block(x, 128))
    x = layers.MaxPooling2D()(lat_block(lat_block(x, 256), 512))
    x = layers.Flatten()(x)
    return [_dense(_dense(_dense(x, 256), 128), 1, name) for name in outputs], blocks


def rec_head(
    reconstructions: list[tf.Tensor], outputs: list[str]
) -> tuple[list[tf.Tensor], list[Block]]:
    """Map one reconstruction [batch, 352, 640, 3] per backbone to a level [batch, 1] per output."""
    blocks: list[Block] = []

    def rec_block(x: tf.Tensor, filters: int) -> tf.Tensor:
        x, block = build_block(x, filters, pools=True)
        blocks.append(block)
        return x

    normalised = [_normalisation()(frame) for frame in reconstructions]
    x = _product([rec_block(frame, 512) for frame in normalised])
    for filters in (256, 128, 64, 32):
        x = rec_block(x, filters)
    x = _dense(layers.Flatten()(x), 512)
    return [_dense(x, 1, name) for name in outputs], blocks


Head = Callable[[list[tf.Tensor], list[str]], tuple[list[tf.Tensor], list[Block]]]
HEADS: dict[str, Head] = {"lat": lat_head, "rec": rec_head}
