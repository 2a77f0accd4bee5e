"""The backbone: a learned-compression autoencoder, 2,887,363 weights.

    frame ─ analysis transform ─ latent ─ synthesis transform ─ reconstruction
    352x640x3                   22x40x192                       352x640x3

Source: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017, with leaky ReLUs.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow.keras import layers

from common.facts import FILTERS, HEIGHT, LATENT_FILTERS, WIDTH

FRAME_SHAPE = (HEIGHT, WIDTH, 3)
LEAK = 0.05


def analysis_transform(frames: tf.Tensor) -> tf.Tensor:
    """Frames [batch, H, W, 3], 0 to 255, to latents [batch, H/16, W/16, 192]."""
    x = frames
    for _ in range(3):
        x = layers.Conv2D(FILTERS, 5, strides=2, padding="same")(x)
        x = layers.LeakyReLU(LEAK)(x)
    return layers.Conv2D(LATENT_FILTERS, 5, strides=2, padding="same")(x)


def synthesis_transform(latents: tf.Tensor, name: str | None = None) -> tf.Tensor:
    """Latents [batch, H/16, W/16, 192] to reconstructions [batch, H, W, 3], nominally 0 to 255.

    `name` is the last layer's. That layer stays in float32: 8 bits of a pixel are all that bfloat16
    has.
    """
    x = latents
    for _ in range(3):
        x = layers.Conv2DTranspose(FILTERS, 5, strides=2, padding="same")(x)
        x = layers.LeakyReLU(LEAK)(x)
    return layers.Conv2DTranspose(3, 5, strides=2, padding="same", name=name, dtype="float32")(x)


def build_backbone(frame_shape: tuple[int | None, int | None, int] = FRAME_SHAPE) -> tf.keras.Model:
    """The whole autoencoder: frames to reconstructions. What the Reconstruction.h5 files hold.

    For crops of any size (multiples of 16) `frame_shape` is (None, None, 3).
    """
    frames = layers.Input(frame_shape)
    return tf.keras.Model(frames, synthesis_transform(analysis_transform(frames)))


def transforms(backbone: tf.keras.Model) -> tuple[tf.keras.Model, tf.keras.Model]:
    """The analysis and the synthesis transform of `backbone`, sharing its weights."""
    latents = next(x.output for x in backbone.layers if x.output_shape[-1] == LATENT_FILTERS)
    return tf.keras.Model(backbone.input, latents), tf.keras.Model(latents, backbone.output)
