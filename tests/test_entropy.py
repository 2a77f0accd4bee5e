"""The entropy model of stage 1: of either library, against the other and against plain sums."""

import numpy as np
import pytest

from common.base.errors import UserError
from common.base.framework import tf
from common.codec.density import NoisyDeepFactorized
from common.codec.entropy_model import (
    build_coder,
    build_prior,
    noisy,
    quantization_offset,
    quantized,
)
from common.codec.range_coding import constriction_coder, tensorflow_compression_coder

pytestmark = pytest.mark.tensorflow

SIZE = 22, 40


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    """Latents of a spread that the fresh prior is made for, with a few that it is not made for:
    float32 [2, 22, 40, 192]."""
    latents = np.random.default_rng(0).normal(0.3, 5, (2, *SIZE, 192)).astype(np.float32)
    latents[0, 0, :3, 0] = 1e5, -70000, 400
    return latents


@pytest.fixture(scope="module")
def both_priors():
    """tensorflow-compression's prior and ours, with the same weights, as after some training."""
    tfc = pytest.importorskip("tensorflow_compression")
    tf.keras.utils.set_random_seed(0)
    theirs, ours = tfc.NoisyDeepFactorized(batch_shape=(192,)), NoisyDeepFactorized(192)
    random = np.random.default_rng(1)
    named = _named(ours)
    for weight in theirs.trainable_variables:
        weight.assign_add(random.normal(0, 0.4, weight.shape).astype(np.float32))
    for name, weight in _named(theirs).items():
        named.pop(name).assign(weight)
    assert not named
    return theirs, ours


def _named(prior) -> dict[str, tf.Variable]:
    return {weight.name.split("/")[-1]: weight for weight in prior.trainable_variables}


def test_our_density_is_tensorflow_compressions(both_priors, latents):
    theirs, ours = (prior.log_prob(latents).numpy() for prior in both_priors)
    assert ours == pytest.approx(theirs, abs=1e-4)
    # Its gradients are what it learns by.
    gradients = []
    for prior in both_priors:
        with tf.GradientTape() as tape:
            _, bits = noisy(prior, tf.constant(latents), tf.constant([1, 2]))
            loss = tf.reduce_sum(bits)
        gradients.append(tape.gradient(loss, _named(prior)))
    for name, gradient in gradients[0].items():
        assert gradients[1][name].numpy() == pytest.approx(gradient.numpy(), rel=1e-3, abs=0.1)


def test_a_fresh_prior_of_ours_starts_as_tensorflow_compressions():
    tfc = pytest.importorskip("tensorflow_compression")
    theirs, ours = tfc.NoisyDeepFactorized(batch_shape=(192,)), NoisyDeepFactorized(192)
    started = _named(theirs)
    for name, weight in _named(ours).items():
        values, expected = weight.numpy(), started[name].numpy()
        if name.startswith("bias"):  # random from -0.5 to 0.5
            assert np.abs(values).max() < 0.5
            assert values.std() == pytest.approx(expected.std(), rel=0.1)
        else:
            assert values == pytest.approx(expected, rel=1e-6)


def test_our_density_sums_to_one_about_its_median():
    prior = NoisyDeepFactorized(192)
    offset = prior.quantization_offset()
    integers = np.repeat(np.arange(-3000, 3001)[:, np.newaxis], 192, axis=1)
    assert _likelihoods(prior, integers + 0.0).sum(axis=0) == pytest.approx(1, abs=1e-6)
    below = _likelihoods(prior, integers[:3001] + prior.quantiles(0.5) - 0.5).sum(axis=0)
    assert below == pytest.approx(0.5, abs=1e-6)
    assert np.abs(offset).max() <= 0.5


def _likelihoods(prior, values) -> np.ndarray:
    return np.exp(prior.log_prob(values).numpy().astype(np.float64))


def test_quantization_offsets_agree(both_priors):
    theirs, ours = map(quantization_offset, both_priors)
    apart = np.abs(theirs - ours)
    # tensorflow-compression's is the result of a hundred steps of Adam.
    assert np.minimum(apart, 1 - apart).max() < 0.01


@pytest.fixture(scope="module")
def coders(both_priors):
    theirs, ours = both_priors
    return tensorflow_compression_coder(theirs), constriction_coder(ours)


def test_strings_of_both_coders_are_as_long(coders, latents):
    theirs, ours = (coder.compress(latents) for coder in coders)
    for one, other in zip(theirs, ours):
        assert len(other) == pytest.approx(len(one), rel=0.005)


def test_both_coders_decode_what_they_coded(coders, latents):
    for coder in coders:
        _holds(coder, latents)


def test_strings_hold_the_rounded_latents(latents):
    prior = build_prior()
    coder = build_coder(prior)
    assert coder.offset == pytest.approx(quantization_offset(prior), abs=1e-6)
    _holds(coder, latents)


def _holds(coder, latents):
    strings = coder.compress(latents)
    decoded = coder.decompress(strings, SIZE).numpy()
    rounded = np.round(latents - coder.offset) + coder.offset
    assert np.array_equal(decoded, rounded)
    assert coder.compress(decoded) == strings
    other = {b"t": b"c", b"c": b"t"}[strings[0][:1]]
    with pytest.raises(UserError, match="does not read"):
        coder.decompress([other + strings[0][1:]], SIZE)
    with pytest.raises(UserError, match="damaged"):
        coder.decompress([b"?" + strings[0][1:]], SIZE)


def test_noise_follows_from_the_seed(latents):
    prior = build_prior()
    one, bits = noisy(prior, latents, tf.constant([1, 2]))
    same, _ = noisy(prior, latents, tf.constant([1, 2]))
    other, _ = noisy(prior, latents, tf.constant([1, 3]))
    noise = (one.numpy() - latents)[1]  # without the values that float32 rounds to 1/128
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.abs(noise).max() < 0.5 + 1e-5
    assert noise.std() == pytest.approx(12**-0.5, rel=0.01)
    expected = -np.log2(_likelihoods(prior, one[1])).sum()
    assert bits[1].numpy() == pytest.approx(expected, rel=1e-5)


def test_bits_are_those_of_tensorflow_compressions_entropy_model(latents):
    tfc = pytest.importorskip("tensorflow_compression")
    prior = build_prior()
    model = tfc.ContinuousBatchedEntropyModel(prior, coding_rank=3)
    _, bits = noisy(prior, latents, tf.constant([1, 2]))
    assert bits.numpy() == pytest.approx(model(latents, training=True)[1].numpy(), rel=1e-3)
    values, estimate = quantized(prior, latents, quantization_offset(prior))
    assert np.array_equal(values, model.quantize(latents))
    assert estimate.numpy() == pytest.approx(model(latents, training=False)[1].numpy(), rel=1e-6)
