"""The heads: from what the backbone gives to the level, or the three levels."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.keras import layers

from common.models.attention import channel_attention


def lat_block(features: tf.Tensor, filters: int) -> tf.Tensor:
    """Convolution, batch normalisation, ReLU, channel attention."""
    return channel_attention(_convolution(features, filters))


def rec_block(features: tf.Tensor, filters: int) -> tf.Tensor:
    """Convolution, batch normalisation, ReLU; half the height and width."""
    return layers.MaxPooling2D()(_convolution(features, filters))


def _convolution(features: tf.Tensor, filters: int) -> tf.Tensor:
    x = layers.Conv2D(filters, 3, padding="same")(features)
    return tf.nn.relu(_normalisation()(x))


def _normalisation() -> layers.Layer:
    # Several processors see the statistics of the whole batch, as one would.
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return layers.BatchNormalization(synchronized=several)


def _product(branches: list[tf.Tensor]) -> tf.Tensor:
    return layers.Multiply()(branches) if len(branches) > 1 else branches[0]


def _dense(x: tf.Tensor, units: int, name: str | None = None) -> tf.Tensor:
    # In float32 whatever the policy: a level of 30 in bfloat16 would be rounded to an eighth.
    return layers.Dense(units, activation="relu", name=name, dtype="float32")(x)


def lat_head(latents: list[tf.Tensor], outputs: list[str]) -> list[tf.Tensor]:
    """One latent [batch, 22, 40, 192] a level to one level [batch, 1] an output name."""
    normalised = [_normalisation()(latent) for latent in latents]
    x = _product([lat_block(latent, 64) for latent in normalised])
    x = layers.MaxPooling2D()(lat_block(x, 128))
    x = layers.MaxPooling2D()(lat_block(lat_block(x, 256), 512))
    x = layers.Flatten()(x)
    return [_dense(_dense(_dense(x, 256), 128), 1, name) for name in outputs]


def rec_head(reconstructions: list[tf.Tensor], outputs: list[str]) -> list[tf.Tensor]:
    """One reconstruction [batch, 352, 640, 3] a level to one level [batch, 1] an output name."""
    normalised = [_normalisation()(frame) for frame in reconstructions]
    x = _product([rec_block(frame, 512) for frame in normalised])
    for filters in (256, 128, 64, 32):
        x = rec_block(x, filters)
    x = _dense(layers.Flatten()(x), 512)
    return [_dense(x, 1, name) for name in outputs]
