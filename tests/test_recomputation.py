"""The training form gives what Keras's own layers give, values and gradients alike."""

import numpy as np
import pytest

from common.base.device import use_precision
from common.base.framework import tf
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.heads import Block, build_block
from common.training import winograd
from common.training.recomputation import (
    FoldedLayer,
    RecomputedBlock,
    WinogradConvolution,
    training_form,
)

pytestmark = pytest.mark.tensorflow

RANDOM = np.random.default_rng(0)


def _normal(*shape: int) -> tf.Tensor:
    return tf.constant(RANDOM.normal(size=shape), tf.float32)


def _weights(shape: tf.TensorShape) -> tf.Tensor:
    return tf.random.stateless_normal(shape, (1, 2))


def _value_and_gradients(function, *arguments: tf.Tensor) -> list[np.ndarray]:
    """Of the sum of what `function` gives, weighed with fixed numbers."""
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        value = function(*arguments)
        weighed = tf.reduce_sum(value * _weights(value.shape))
    return [x.numpy() for x in (value, *tape.gradient(weighed, arguments))]


def _same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for one, other in zip(found, wanted):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max())


def test_winograd_convolution_and_both_gradients():
    # 12 and 8 rows: the kernel's gradient takes stripes of 4 and of 8.
    for height in (12, 8):
        arguments = _normal(2, height, 16, 5), _normal(3, 3, 5, 7)
        _same(
            _value_and_gradients(winograd.convolution, *arguments),
            _value_and_gradients(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME"), *arguments),
        )


@pytest.mark.parametrize("training", [True, False])
def test_a_recomputed_block_is_convolution_normalisation_relu_and_pooling(training):
    frames = tf.keras.Input((48, 20, 3))
    outputs, block = build_block(frames, 6, pools=True)
    model = tf.keras.Model(frames, outputs)
    convolution, normalisation, *_ = block
    # Far from zero mean, as pictures are, and with weights and statistics that are not 0 or 1.
    for layer in (convolution, normalisation):
        layer.set_weights([abs(RANDOM.normal(size=weight.shape)) for weight in layer.weights])
    before = normalisation.get_weights()
    pictures = 3 + _normal(2, 48, 20, 3)

    results = []
    for form in (RecomputedBlock(block), model):
        normalisation.set_weights(before)
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            pooled = form(pictures, training=training)
            weighed = tf.reduce_sum(pooled * _weights(pooled.shape))
        # The bias is left out: normalisation takes it away again, its gradient is 0 and noise.
        sources = [pictures, convolution.kernel, normalisation.gamma, normalisation.beta]
        results.append([pooled, *tape.gradient(weighed, sources), *normalisation.get_weights()[2:]])
    _same(*[[np.asarray(x) for x in result] for result in results])


@pytest.mark.parametrize("name", ["REC", "E2EREC", "MJREC"])
def test_the_training_form_has_the_same_weights_and_the_large_layers_replaced(name):
    parts = build_model(MODELS[name])
    model, form = parts.whole, training_form(parts.whole, parts.blocks)
    assert form.output_names == model.output_names
    assert {id(v) for v in form.trainable_variables} == {id(v) for v in model.trainable_variables}
    assert {id(v) for v in form.variables} == {id(v) for v in model.variables}
    kinds = [type(layer) for layer in form.layers]
    assert kinds.count(RecomputedBlock) == (3 if MODELS[name].multitask else 1)
    assert kinds.count(WinogradConvolution) >= 1
    if name != "E2EREC":
        return  # one will do, at seconds per frame
    frame = tf.random.stateless_uniform((1, 352, 640, 3), (1, 2), 0, 255)
    for found, wanted in zip(form(frame), model(frame)):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_head_on_latents_stays_as_it_is():
    model = build_model(MODELS["MJLAT"])
    assert training_form(model.head, model.blocks) is model.head


def test_a_recomputed_block_in_bfloat16_is_as_near_to_float32_as_keras_is():
    tf.keras.utils.set_random_seed(0)  # with some weights, roundings of beta's gradient add up

    def built() -> tuple[tf.keras.Model, Block]:
        frames = tf.keras.Input((96, 40, 3))
        outputs, block = build_block(frames, 6, pools=True)
        return tf.keras.Model(frames, outputs), block

    exact, exact_block = built()
    use_precision("bfloat16")
    model, block = built()
    form = training_form(model, [block])
    use_precision("float32")
    assert [type(layer) for layer in form.layers[1:]] == [RecomputedBlock] + 3 * [FoldedLayer]
    pictures, seen = tf.random.stateless_normal((16, 96, 40, 3), (3, 4)), []
    for each, of in ((form, block), (model, block), (exact, exact_block)):
        each.set_weights(exact.get_weights())
        with tf.GradientTape() as tape:
            pooled = each(pictures, training=True)
            weighed = tf.reduce_sum(tf.cast(pooled, tf.float32) * _weights(pooled.shape))
        sources = [of.convolution.kernel, of.normalisation.gamma, of.normalisation.beta]
        seen.append([tf.cast(pooled, tf.float32), *tape.gradient(weighed, sources)])
    for ours, keras, wanted in zip(*seen):
        off, its = (np.linalg.norm(one - wanted) / np.linalg.norm(wanted) for one in (ours, keras))
        assert 0 < off < 2 * its + 0.005  # the last bit decides which of four a pooling takes
