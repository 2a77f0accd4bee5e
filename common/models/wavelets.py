"""Initial weights of the backbone: a wavelet transform, which training then improves.

From random weights a backbone takes thousands of steps to learn that pixels have neighbours. Its
four layers of stride 2 can hold four levels of a Haar wavelet packet transform instead, and those
of the synthesis the way back. What starts so reconstructs frames from its first step.

    3 colours ─ 12 bands ─ 48 ─ 64 of 192 ─ 192 of 256 = latent ─ 64 ─ 48 ─ 12 ─ 3 colours

A leaky ReLU cuts the negative half of a band, so a band takes two channels, itself and its
negative: LeakyReLU(x) - LeakyReLU(-x) = 1.05 x. The remaining channels start at random.

Source: Mallat, "A Wavelet Tour of Signal Processing", section 8.1 (wavelet packets).
"""

import numpy as np

from ..base.framework import tf
from .backbone import LEAK, Backbone

# A 2x2 block's mean, and its differences down, across, and along both: an orthonormal basis.
_BANDS = (
    np.array([[[1, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]) / 2
)
# Grey and two differences of colour, orthonormal too.
_COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
# How much of the variance goes into each, roughly, in photographs: which bands a layer keeps.
_BAND_SHARES = np.array([1, 0.05, 0.05, 0.0125])
_COLOUR_SHARES = np.array([1, 0.05, 0.02])
_KEPT = (12, 48, 64, 192)
# What rounding of a latent does in pixel levels: at lambda 0.01, the trade-off between rate and
# distortion is best at sqrt(12 / (2 ln 2 lambda)) = 29. Each layer takes the fourth root of it.
_STEP = 29.0


def initialise_as_wavelets(backbone: Backbone, seed: int) -> None:
    """Give `backbone` its initial weights, those that are random by the `seed`."""
    random = np.random.default_rng(seed)
    layers = [layer for layer in backbone.whole.layers if layer.weights]
    analysis, synthesis = layers[:4], layers[4:]
    gain = _STEP**-0.25
    # Channels made of bands [bands, channels], and bands of channels [channels, bands].
    channels, bands = _COLOURS, _COLOURS.T
    shares = _COLOUR_SHARES
    for down, up, count in zip(analysis, synthesis[::-1], _KEPT):
        shares = np.outer(shares, _BAND_SHARES).ravel()
        kept = np.argsort(-shares, kind="stable")[:count]
        shares = shares[kept]
        # [2, 2, bands before, bands after]
        transform = np.einsum("bhw,st->hwstb", _BANDS, np.eye(channels.shape[0]))
        transform = transform.reshape(*transform.shape[:3], -1)[..., kept]
        coarse_channels = coarse_bands = np.eye(count)
        if down is not analysis[-1]:
            coarse_channels = np.kron(np.eye(count), [[1, -1]])
            coarse_bands = coarse_channels.T / (1 + LEAK)
        ins, outs = channels.shape[1], coarse_channels.shape[1]

        # Taps 1 and 2 of 5 are the block: with stride 2, 'same' pads one pixel in front. Channels
        # that hold no bands are random functions of all, and at first nothing listens to them.
        kernel = _random(random, down.kernel.shape, down.kernel.shape[2]) * gain
        kernel[..., :outs] = 0
        block = np.einsum("cs,hwst,to->hwco", bands, transform, coarse_channels, optimize=True)
        kernel[1:3, 1:3, :ins, :outs] = gain * block
        down.kernel.assign(kernel)

        kernel = _random(random, up.kernel.shape, up.kernel.shape[3] / 4) / gain
        kernel[:, :, :ins] = 0
        block = np.einsum("so,hwst,ct->hwoc", channels, transform, coarse_bands, optimize=True)
        kernel[1:3, 1:3, :ins, :outs] = block / gain
        up.kernel.assign(kernel)
        channels, bands = coarse_channels, coarse_bands
    # Bands are those of the pixels less their mean, 128.
    first, last = analysis[0], synthesis[-1]
    first.bias.assign(-128 * tf.reduce_sum(first.kernel, axis=(0, 1, 2)))
    last.bias.assign(tf.fill(last.bias.shape, 128.0))


def _random(random: np.random.Generator, shape: tuple[int, ...], inputs: float) -> np.ndarray:
    """He's normal kernel for 5x5 taps on so many channels."""
    return random.standard_normal(shape) * np.sqrt(2 / (25 * inputs))
