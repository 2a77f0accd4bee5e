"""The entropy model of stage 1: of either library, against the other and against plain sums."""

import numpy as np
import pytest

from common.base.errors import UserError
from common.base.framework import tf
from common.codec.deep_factorized import NoisyDeepFactorized
from common.codec.entropy_model import EntropyModel, add_noise, quantize
from common.codec.range_coding import ConstrictionCoder, TensorFlowCompressionCoder

pytestmark = pytest.mark.tensorflow

SIZE = 22, 40


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    """Latents of a spread that a fresh distribution expects, with a few that it does not expect:
    float32 [2, 22, 40, 192]."""
    latents = np.random.default_rng(0).normal(0.3, 5, (2, *SIZE, 192)).astype(np.float32)
    latents[0, 0, :3, 0] = 1e5, -70000, 400
    return latents


@pytest.fixture(scope="module")
def both_models():
    """Entropy models by tensorflow-compression and by us, with the same weights, as if trained."""
    pytest.importorskip("tensorflow_compression")
    tf.keras.utils.set_random_seed(0)
    theirs, ours = EntropyModel(), EntropyModel()
    ours.distribution = NoisyDeepFactorized(192)
    ours.trainable_variables = list(ours.distribution.trainable_variables)
    random = np.random.default_rng(1)
    named = _named(ours)
    for weight in theirs.trainable_variables:
        weight.assign_add(random.normal(0, 0.4, weight.shape).astype(np.float32))
    for name, weight in _named(theirs).items():
        named.pop(name).assign(weight)
    assert not named
    return theirs, ours


def _named(model) -> dict[str, tf.Variable]:
    return {weight.name.split("/")[-1]: weight for weight in model.trainable_variables}


def test_our_distribution_is_tensorflow_compressions(both_models, latents):
    theirs, ours = (model.distribution.log_prob(latents).numpy() for model in both_models)
    assert ours == pytest.approx(theirs, abs=1e-4)
    # Its gradients are what it learns by.
    gradients = []
    for model in both_models:
        with tf.GradientTape() as tape:
            bits = model.bits(add_noise(tf.constant(latents), tf.constant([1, 2])))
            loss = tf.reduce_sum(bits)
        gradients.append(tape.gradient(loss, _named(model)))
    for name, gradient in gradients[0].items():
        assert gradients[1][name].numpy() == pytest.approx(gradient.numpy(), rel=1e-3, abs=0.1)


def test_a_fresh_distribution_of_ours_starts_as_tensorflow_compressions():
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


def test_our_distribution_sums_to_one_about_its_median():
    distribution = NoisyDeepFactorized(192)
    offset = distribution.quantization_offset()
    integers = np.repeat(np.arange(-3000, 3001)[:, np.newaxis], 192, axis=1)
    assert _likelihoods(distribution, integers + 0.0).sum(axis=0) == pytest.approx(1, abs=1e-6)
    below = _likelihoods(distribution, integers[:3001] + distribution.quantiles(0.5) - 0.5).sum(
        axis=0
    )
    assert below == pytest.approx(0.5, abs=1e-6)
    assert np.abs(offset).max() <= 0.5


def _likelihoods(distribution, values) -> np.ndarray:
    return np.exp(distribution.log_prob(values).numpy().astype(np.float64))


def test_quantization_offsets_agree(both_models):
    theirs, ours = (model.quantization_offset() for model in both_models)
    apart = np.abs(theirs - ours)
    # tensorflow-compression's is the result of a hundred steps of Adam.
    assert np.minimum(apart, 1 - apart).max() < 0.01


@pytest.fixture(scope="module")
def coders(both_models):
    theirs, ours = both_models
    return theirs.coder, ours.coder


def test_strings_of_both_coders_are_as_long(coders, latents):
    assert [type(each) for each in coders] == [TensorFlowCompressionCoder, ConstrictionCoder]
    for latent in latents:
        theirs, ours = (coder.compress(latent) for coder in coders)
        assert len(ours) == pytest.approx(len(theirs), rel=0.005)


def test_both_coders_decode_what_they_coded(coders, latents):
    for coder in coders:
        _holds(coder, latents)


def test_strings_hold_the_rounded_latents(latents):
    model = EntropyModel()
    assert model.coder.offset == pytest.approx(model.quantization_offset(), abs=1e-6)
    _holds(model.coder, latents)


def _holds(coder, latents):
    for latent in latents:
        string = coder.compress(latent)
        decoded = coder.decompress(string, SIZE)
        assert np.array_equal(decoded, np.round(latent - coder.offset) + coder.offset)
        assert coder.compress(decoded) == string
    other = {b"t": b"c", b"c": b"t"}[string[:1]]
    with pytest.raises(UserError, match="cannot read them"):
        coder.decompress(other + string[1:], SIZE)
    with pytest.raises(UserError, match="damaged"):
        coder.decompress(b"?" + string[1:], SIZE)


def test_noise_follows_from_the_seed(latents):
    one, same, other = (add_noise(latents, tf.constant([1, seed])) for seed in (2, 2, 3))
    noise = (one.numpy() - latents)[1]  # without the values that float32 rounds to 1/128
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.abs(noise).max() < 0.5 + 1e-5
    assert noise.std() == pytest.approx(12**-0.5, rel=0.01)
    model = EntropyModel()
    expected = -np.log2(_likelihoods(model.distribution, one[1])).sum()
    assert model.bits(one)[1].numpy() == pytest.approx(expected, rel=1e-5)


def test_bits_are_those_of_tensorflow_compressions_entropy_model(latents):
    tfc = pytest.importorskip("tensorflow_compression")
    ours = EntropyModel()
    theirs = tfc.ContinuousBatchedEntropyModel(ours.distribution, coding_rank=3)
    bits = ours.bits(add_noise(latents, tf.constant([1, 2]))).numpy()
    assert bits == pytest.approx(theirs(latents, training=True)[1].numpy(), rel=1e-3)
    values = quantize(latents, ours.quantization_offset())
    assert np.array_equal(values, theirs.quantize(latents))
    expected = theirs(latents, training=False)[1].numpy()
    assert ours.bits(values).numpy() == pytest.approx(expected, rel=1e-6)
