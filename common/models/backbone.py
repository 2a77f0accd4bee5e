"""The backbone: a learned-compression autoencoder, 2,887,363 weights.

    frame ─ analysis transform ─ latent ─ synthesis transform ─ reconstruction
    352x640x3                   22x40x192                       352x640x3

Source: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017, with leaky ReLUs.
"""

from typing import NamedTuple

from ..base.constants import FILTERS, HEIGHT, LATENT_FILTERS, WIDTH
from ..base.framework import layers, tf

FRAME_SHAPE = (HEIGHT, WIDTH, 3)
LEAK = 0.05


def analysis_transform(frames: tf.Tensor) -> tf.Tensor:
    """Map frames [batch, H, W, 3], 0 to 255, to latents [batch, H/16, W/16, 192]."""
    x = frames
    for _ in range(3):
        x = layers.Conv2D(FILTERS, 5, strides=2, padding="same")(x)
        x = layers.LeakyReLU(LEAK)(x)
    return layers.Conv2D(LATENT_FILTERS, 5, strides=2, padding="same")(x)


def synthesis_transform(latents: tf.Tensor, name: str | None = None) -> tf.Tensor:
    """Map latents [batch, H/16, W/16, 192] to reconstructions [batch, H, W, 3], about 0 to 255.

    The last layer, called `name`, stays in float32, since bfloat16 has only 8 significant bits.
    """
    x = latents
    for _ in range(3):
        x = layers.Conv2DTranspose(FILTERS, 5, strides=2, padding="same")(x)
        x = layers.LeakyReLU(LEAK)(x)
    return layers.Conv2DTranspose(3, 5, strides=2, padding="same", name=name, dtype="float32")(x)


class Backbone(NamedTuple):
    """An autoencoder and its two transforms, which share its weights.

    `synthesis` is None, and `whole` is the analysis, if no reconstruction is needed.
    """

    whole: tf.keras.Model
    analysis: tf.keras.Model
    synthesis: tf.keras.Model | None


def build_backbone(frame_shape: tuple[int | None, int | None, int] = FRAME_SHAPE) -> Backbone:
    """Build an autoencoder with initial weights; its `whole` is what Reconstruction.h5 files hold.

    Args:
        frame_shape: (None, None, 3) accepts frames of any size, in multiples of 16.
    """
    frames = layers.Input(frame_shape)
    latents = analysis_transform(frames)
    return as_backbone(frames, latents, synthesis_transform(latents))


def as_backbone(
    frames: tf.Tensor, latents: tf.Tensor, reconstructions: tf.Tensor | None
) -> Backbone:
    """Make a backbone from the layers between these tensors."""
    analysis = tf.keras.Model(frames, latents)
    if reconstructions is None:
        return Backbone(analysis, analysis, None)
    synthesis = tf.keras.Model(latents, reconstructions)
    return Backbone(tf.keras.Model(frames, reconstructions), analysis, synthesis)
