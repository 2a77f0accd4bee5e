"""Initialisation of the backbone as a wavelet transform, which training then improves.

From random weights, a backbone needs thousands of steps to learn that neighbouring pixels are
similar. Here, each of its four analysis layers (stride 2) starts as a level of a Haar wavelet
packet transform, and its synthesis as the inverse, so it reconstructs frames from the first step.

    3 colours ─ 12 bands ─ 48 ─ 64 of 192 ─ 192 of 256 = latent ─ 64 ─ 48 ─ 12 ─ 3 colours

Since a leaky ReLU cuts the negative half of a band, each band takes two channels, itself and its
negative: LeakyReLU(x) - LeakyReLU(-x) = 1.05 x. The remaining channels start at random.

Source: Mallat, "A Wavelet Tour of Signal Processing", section 8.1 (wavelet packets).
"""

import numpy as np

from ..base.framework import tf
from .backbone import LEAK, Backbone

# Orthonormal basis of 2x2 blocks: mean, vertical, horizontal and diagonal difference.
_BANDS = (
    np.array([[[1, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]) / 2
)
# Orthonormal basis of colours: grey and two colour differences.
_COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
# Rough variances in photographs, relative to the mean and to grey, and the number of bands with the
# largest variance that each layer keeps.
_BAND_VARIANCES = np.array([1, 0.05, 0.05, 0.0125])
_COLOUR_VARIANCES = np.array([1, 0.05, 0.02])
_BAND_COUNTS = (12, 48, 64, 192)
# Quantization step of the latents in pixel values: at lambda 0.01, the best trade-off between rate
# and distortion is sqrt(12 / (2 ln 2 lambda)) = 29. Each of four layers scales by its fourth root.
_STEP = 29.0


def initialise_as_wavelets(backbone: Backbone, seed: int) -> None:
    """Initialise the weights of `backbone`, the random ones from `seed`."""
    random = np.random.default_rng(seed)
    layers = [layer for layer in backbone.whole.layers if layer.weights]
    analysis, synthesis = layers[:4], layers[4:]
    gain = _STEP**-0.25
    # How the bands lie in the channels before a level: matrices from bands to channels
    # [bands, channels], and back [channels, bands]. Each pass makes the next level's.
    channels, bands = _COLOURS, _COLOURS.T
    variances = _COLOUR_VARIANCES
    for down, up, count in zip(analysis, synthesis[::-1], _BAND_COUNTS):
        # Each band becomes four, of which those with the largest variances are kept.
        variances = np.outer(variances, _BAND_VARIANCES).ravel()
        kept = np.argsort(-variances, kind="stable")[:count]
        variances = variances[kept]
        # [2, 2, bands before, bands after]
        transform = np.einsum("bhw,st->hwstb", _BANDS, np.eye(channels.shape[0]))
        transform = transform.reshape(*transform.shape[:3], -1)[..., kept]
        coarse_channels = coarse_bands = np.eye(count)
        if down is not analysis[-1]:  # before a leaky ReLU: each band, and its negative
            coarse_channels = np.kron(np.eye(count), [[1, -1]])
            coarse_bands = coarse_channels.T / (1 + LEAK)
        ins, outs = channels.shape[1], coarse_channels.shape[1]

        # Taps 1 and 2 of 5 cover the block: with stride 2, 'same' pads one pixel in front. Spare
        # channels are random functions of all inputs, and the next layer gives them no weight yet.
        kernel = _random_kernel(random, down.kernel.shape, down.kernel.shape[2]) * gain
        kernel[..., :outs] = 0
        block = np.einsum("cs,hwst,to->hwco", bands, transform, coarse_channels, optimize=True)
        kernel[1:3, 1:3, :ins, :outs] = gain * block
        down.kernel.assign(kernel)

        kernel = _random_kernel(random, up.kernel.shape, up.kernel.shape[3] / 4) / gain
        kernel[:, :, :ins] = 0
        block = np.einsum("so,hwst,ct->hwoc", channels, transform, coarse_bands, optimize=True)
        kernel[1:3, 1:3, :ins, :outs] = block / gain
        up.kernel.assign(kernel)
        channels, bands = coarse_channels, coarse_bands
    # The transform is of the pixel values minus their mean, 128.
    first, last = analysis[0], synthesis[-1]
    first.bias.assign(-128 * tf.reduce_sum(first.kernel, axis=(0, 1, 2)))
    last.bias.assign(tf.fill(last.bias.shape, 128.0))


def _random_kernel(
    random: np.random.Generator, shape: tuple[int, ...], inputs: float
) -> np.ndarray:
    """Draw a 5x5 kernel on `inputs` channels from He's normal initialisation."""
    return random.standard_normal(shape) * np.sqrt(2 / (25 * inputs))
