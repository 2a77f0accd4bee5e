"""Dropout, weight decay, momentum and single branches: by hand, and through the train command."""

import numpy as np
import pytest

from common.base.framework import tf
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.training.predictor import PredictorSettings, _optimizer
from common.training.regularisation import (
    set_batch_norm_momentum,
    start_with_single_branches,
    with_dropout,
)

SETTINGS = PredictorSettings("MJLAT", None, 8, 0.1, 0, "float32", False, False, None)


def flat_model() -> tf.keras.Model:
    """A map of 4x5 with 50 channels, flattened."""
    values = tf.keras.Input((4, 5, 50))
    return tf.keras.Model(values, tf.keras.layers.Flatten()(values))


def test_dropout_leaves_out_a_share_in_training_alone():
    step = tf.Variable(0, dtype=tf.int64)
    dropping = with_dropout(flat_model(), 0.4, seed=3, step=step)
    ones = tf.ones((20, 4, 5, 50))
    assert np.array_equal(dropping(ones, training=False), np.ones((20, 1000)))
    first = dropping(ones, training=True).numpy()
    assert np.unique(first) == pytest.approx([0, 1 / 0.6])
    assert (first == 0).mean() == pytest.approx(0.4, abs=0.015)  # 20,000 draws
    # By seed and step alone, as a resumed run needs it.
    assert np.array_equal(dropping(ones, training=True), first)
    again = with_dropout(flat_model(), 0.4, seed=3, step=step)
    assert np.array_equal(again(ones, training=True), first)
    step.assign_add(1)
    assert not np.array_equal(dropping(ones, training=True), first)
    step.assign(0)
    other = with_dropout(flat_model(), 0.4, seed=4, step=step)
    assert not np.array_equal(other(ones, training=True), first)


def test_dropout_shares_the_weights():
    head = build_model(MODELS["LAT"]).head
    dropping = with_dropout(head, 0.5, 0, tf.Variable(0, dtype=tf.int64))
    assert {id(each) for each in dropping.variables} == {id(each) for each in head.variables}
    latent = tf.random.stateless_normal((1, 22, 40, 192), (0, 1))
    assert np.array_equal(dropping(latent, training=False), head(latent, training=False))


def test_weight_decay_shrinks_kernels_alone():
    """Without a gradient Adam stands still; the decoupled decay takes rate x decay of a kernel."""
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(2, input_shape=(3,)), tf.keras.layers.BatchNormalization()]
    )
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable))
    optimizer = _optimizer(SETTINGS._replace(weight_decay=0.02), steps=1)
    optimizer.build(model.trainable_variables)
    nothing = [tf.zeros_like(variable) for variable in model.trainable_variables]
    optimizer.apply_gradients(zip(nothing, model.trainable_variables))
    kernel, *others = model.trainable_variables
    assert kernel.numpy() == pytest.approx(1 - 0.1 * 0.02)
    assert len(others) == 3  # bias, gamma, beta
    assert all(np.array_equal(each, np.ones(2)) for each in others)


def test_batch_normalisation_keeps_that_share_of_its_statistics():
    model = tf.keras.Sequential([tf.keras.layers.BatchNormalization(input_shape=(1,))])
    set_batch_norm_momentum(model, 0.9)
    model(tf.constant([[5.0], [7.0]]), training=True)
    mean, variance = model.layers[0].moving_mean, model.layers[0].moving_variance
    assert mean.numpy() == pytest.approx(0.1 * 6)
    assert variance.numpy() == pytest.approx(0.9 + 0.1 * 1)


@pytest.mark.parametrize(("single", "least", "most"), [(False, 5, 9), (True, 1.5, 3.5)])
def test_single_branches_are_not_cubic_in_contrast(single, least, most):
    """Twice the contrast: eight times the plain product, about twice that of single branches."""
    tf.keras.utils.set_random_seed(0)
    model = build_model(MODELS["MJLAT"])
    if single:
        start_with_single_branches(model.blocks)
    products = [layer for layer in model.head.layers if isinstance(layer, tf.keras.layers.Multiply)]
    (product,) = [layer for layer in products if len(layer.get_input_at(-1)) == 3]
    seen = tf.keras.Model(model.head.inputs, product.get_output_at(-1))
    latents = [tf.random.stateless_normal((1, 22, 40, 192), (0, order)) for order in range(3)]
    weak, strong = (np.abs(seen([each * by for each in latents])).mean() for by in (0.5, 1))
    assert least < strong / weak < most


def test_a_run_without_them_is_known_as_before(tmp_path):
    from common.training.checkpoint import identity

    known = identity(SETTINGS, [], [], [])
    new = ("mirror", "weight_decay", "dropout", "batch_norm_momentum", "single_branches")
    assert not {*new, "cache_precision"} & set(known)
    assert identity(SETTINGS._replace(dropout=0.4), [], [], [])["dropout"] == 0.4


@pytest.mark.parametrize(
    ("option", "value"), [("--dropout", "1"), ("--weight_decay", "-1"), ("--dropout", "half")]
)
def test_shares_are_checked(in_process, option, value, tmp_path):
    needed = ("data_dir", "checkpoint_path", "csv_log_path", "JND_Recon_Models_Path")
    given = [word for name in needed for word in (f"--{name}", tmp_path)]
    done = in_process("MJLAT.py", "train", *given, option, value)
    assert done.returncode == 2
    assert option in done.stderr and len(done.stderr.splitlines()) == 1
