"""The entropy model of stage 1 against what tensorflow-compression gives."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_compression as tfc

from common.models.entropy import build_coder, build_prior, noisy, quantized


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    """Latents of a spread that the fresh prior is made for: float32 [2, 22, 40, 192]."""
    return np.random.default_rng(0).normal(0.3, 5, (2, 22, 40, 192)).astype(np.float32)


def test_strings_hold_the_rounded_latents(latents):
    coder = build_coder(build_prior())
    strings = coder.compress(latents)
    decoded = coder.decompress(strings, (22, 40)).numpy()
    assert np.array_equal(decoded, coder.quantize(latents).numpy())
    assert np.abs(decoded - latents).max() <= 0.5 + 1e-5
    again = coder.compress(decoded)
    assert np.array_equal(strings, again)


def test_noise_follows_from_the_seed_and_costs_what_the_entropy_model_says(latents):
    prior = build_prior()
    one, bits = noisy(prior, latents, tf.constant([1, 2]))
    same, _ = noisy(prior, latents, tf.constant([1, 2]))
    other, _ = noisy(prior, latents, tf.constant([1, 3]))
    noise = one.numpy() - latents
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.abs(noise).max() < 0.5 + 1e-5
    assert noise.std() == pytest.approx(12**-0.5, rel=0.01)
    model = tfc.ContinuousBatchedEntropyModel(prior, coding_rank=3)
    assert bits.numpy() == pytest.approx(model(latents, training=True)[1].numpy(), rel=1e-3)
    offset = tf.function(tfc.quantization_offset)(prior)
    values, estimate = quantized(prior, latents, offset)
    assert np.array_equal(values, model.quantize(latents))
    assert estimate.numpy() == pytest.approx(model(latents, training=False)[1].numpy(), rel=1e-6)
