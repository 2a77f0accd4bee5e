"""Winograd's method and the stripes against a convolution summed by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate2d

from common.fast import striped
from common.framework import layers, tf
from common.models.heads import build_block

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("height, width", [(12, 8), (13, 7), (5, 4), (40, 33)])
@pytest.mark.parametrize("pools", [False, True])
@pytest.mark.parametrize("large", [False, True])
# Stripes of one row of tiles, so more than one, and a last one that is cut; or one for all rows.
@pytest.mark.parametrize("stripe_bytes", [1, 2**24])
def test_striped_convolution_equals_the_plain_sum(
    monkeypatch, height, width, pools, large, stripe_bytes
):
    if large:
        monkeypatch.setattr(striped, "_LARGE", 0)
    for name in ("_PRODUCT_BYTES", "_SUM_BYTES", "_FRAME_BYTES"):
        monkeypatch.setattr(striped, name, stripe_bytes)
    random = np.random.default_rng(height)
    frames = random.standard_normal((2, height, width, 5)).astype(np.float32)
    _, block = build_block(layers.Input(frames.shape[1:]), 3, pools)
    convolution, normalisation, *_ = block
    convolution.set_weights([random.standard_normal(w.shape) for w in convolution.weights])
    normalisation.set_weights([random.uniform(0.5, 2, w.shape) for w in normalisation.weights])

    fast = striped.StripedConvolution(block, "float32")
    assert fast.by_winograd == large
    for given, made in zip(frames, fast(frames).numpy()):
        assert made == pytest.approx(_plain(block, given), rel=1e-4, abs=1e-4)


def _plain(block, frame):
    kernel, bias = block.convolution.get_weights()
    gamma, beta, mean, variance = block.normalisation.get_weights()
    sums = np.stack(
        [
            sum(correlate2d(frame[..., i], kernel[..., i, o], "same") for i in range(5))
            for o in range(3)
        ],
        axis=-1,
    )
    sums = np.maximum((sums + bias - mean) / np.sqrt(variance + 0.001) * gamma + beta, 0)
    if block.pooling:
        height, width = (side // 2 for side in sums.shape[:2])
        half = sums[: height * 2, : width * 2]
        sums = half.reshape(height, 2, width, 2, 3).max((1, 3))
    return sums


def test_rounded_kernels_keep_their_sums():
    kernel = np.random.default_rng(0).standard_normal((5, 5, 4, 4)).astype(np.float32)
    rounded = striped._rounded(kernel)
    assert np.array_equal(rounded, rounded.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32))
    # bfloat16 has 8 significant bits: a tap is off by 2^-8 of itself at most, and so is the sum.
    assert np.abs(rounded - kernel).max() <= 2**-7 * np.abs(kernel).max()
    assert np.abs((rounded - kernel).sum((0, 1))).max() <= 2**-8 * np.abs(kernel).max()
