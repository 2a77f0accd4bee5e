"""Dropout, weight decay, momentum and single branches by hand; the options and the recipe."""

import argparse
from dataclasses import fields, replace

import numpy as np
import pytest

from common.base.framework import tf
from common.commands import train
from common.commands.options import Parser
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.training.predictor import _build_optimizer
from common.training.regularisation import (
    add_dropout,
    set_batch_norm_momentum,
    start_with_single_branches,
)
from common.training.settings import PredictorSettings
from tests.processes import REPO

SETTINGS = PredictorSettings(
    model="MJLAT",
    level=None,
    batch_size=8,
    learning_rate=0.1,
    cosine=None,
    seed=0,
    precision="float32",
    flip=False,
    roll=False,
    mirror=False,
    weight_decay=0.0,
    dropout=0.0,
    batch_norm_momentum=0.99,
    single_branches=False,
    cache_precision="float32",
    soft_targets=0.0,
    quantized=False,
)


def flat_model() -> tf.keras.Model:
    """A map of 4x5 with 50 channels, flattened."""
    values = tf.keras.Input((4, 5, 50))
    return tf.keras.Model(values, tf.keras.layers.Flatten()(values))


def test_dropout_leaves_out_a_share_in_training_alone():
    step = tf.Variable(0, dtype=tf.int64)
    dropping = add_dropout(flat_model(), 0.4, seed=3, step=step)
    ones = tf.ones((20, 4, 5, 50))
    assert np.array_equal(dropping(ones, training=False), np.ones((20, 1000)))
    first = dropping(ones, training=True).numpy()
    assert np.unique(first) == pytest.approx([0, 1 / 0.6])
    assert (first == 0).mean() == pytest.approx(0.4, abs=0.015)  # 20,000 draws
    # By seed and step alone, as a resumed run needs it.
    assert np.array_equal(dropping(ones, training=True), first)
    again = add_dropout(flat_model(), 0.4, seed=3, step=step)
    assert np.array_equal(again(ones, training=True), first)
    step.assign_add(1)
    assert not np.array_equal(dropping(ones, training=True), first)
    step.assign(0)
    other = add_dropout(flat_model(), 0.4, seed=4, step=step)
    assert not np.array_equal(other(ones, training=True), first)


def test_dropout_shares_the_weights():
    head = build_model(MODELS["LAT"]).head
    dropping = add_dropout(head, 0.5, 0, tf.Variable(0, dtype=tf.int64))
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
    optimizer = _build_optimizer(replace(SETTINGS, weight_decay=0.02), steps=1)
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


def test_state_files_from_before_a_setting_still_resume():
    """They lack it; recording its value before it would refuse them."""
    known = SETTINGS.to_state()
    new = ("mirror", "weight_decay", "dropout", "batch_norm_momentum", "single_branches")
    assert not {*new, "cache_precision", "soft_targets", "quantized"} & set(known)
    assert known == {
        **{"model": "MJLAT", "level": None, "batch_size": 8, "learning_rate": 0.1, "seed": 0},
        **{"precision": "float32", "flip": False, "roll": False, "cosine": None},
    }
    assert replace(SETTINGS, dropout=0.4).to_state() == {**known, "dropout": 0.4}


NEEDED = ("data_dir", "checkpoint_path", "csv_log_path", "JND_Recon_Models_Path")
NEEDED_BY_E2E = (*NEEDED[:3], "ImgReconstrution_Model_Path")


def _options(model: str, *more: str) -> argparse.Namespace:
    """The options of `train`, as the command takes them."""
    needed = NEEDED_BY_E2E if model.startswith("E2E") else NEEDED
    level = [] if MODELS[model].multitask else ["--jnd_value", "JND1"]
    words = [word for name in needed for word in (f"--{name}", "x")]
    parser = Parser()
    train.add_parser(parser.add_subparsers(), MODELS[model])
    options = parser.parse_args(["train", *words, *level, *more])
    options.description = MODELS[model]
    train.check(options, options.parser)
    return options


FLAGS = [
    *("--cosine", "--roll", "--mirror", "--single_branches", "--quantized"),
    *("--dropout", "0.4", "--weight_decay", "0.02", "--batch_norm_momentum", "0.9"),
    *("--soft_targets", "0.5"),
]


def test_the_robust_recipe_is_what_trained_the_default_model():
    """By single options, as weights/make.sh once gave them."""
    robust = train._settings(_options("MJLAT", "--recipe", "robust"))
    assert robust == train._settings(_options("MJLAT", *FLAGS))
    assert robust != train._settings(_options("MJLAT"))
    assert "--recipe robust" in (REPO / "weights" / "make.sh").read_text()


def test_an_option_given_wins_over_the_recipe():
    given = ("--dropout", "0", "--no-roll", "--flip")
    settings = train._settings(_options("MJLAT", *given, "--recipe", "robust"))
    robust = train._settings(_options("MJLAT", "--recipe", "robust"))
    assert settings == replace(robust, dropout=0.0, roll=False, flip=True)


@pytest.mark.parametrize("model", MODELS)
def test_a_recipe_sets_only_options_that_a_model_has(model):
    settings = train._settings(_options(model, "--recipe", "robust"))
    description = MODELS[model]
    assert settings.dropout == 0.4 and settings.cosine == 300
    assert settings.single_branches == description.multitask
    assert settings.roll == (not description.end_to_end)
    assert settings.quantized == (not description.end_to_end and description.sees == "latent")
    assert _options(model).epochs == 300


@pytest.mark.parametrize(
    "name", [each.name for each in fields(PredictorSettings) if each.name not in ("model", "level")]
)
def test_a_renamed_option_is_an_error(name):
    """No setting falls back to a default silently."""
    options = _options("MJLAT", *FLAGS)
    setattr(options, f"renamed_{name}", getattr(options, name))
    delattr(options, name)
    with pytest.raises(AttributeError, match=name):
        train._settings(options)


@pytest.mark.parametrize(
    ("option", "value"), [("--dropout", "1"), ("--weight_decay", "-1"), ("--dropout", "half")]
)
def test_shares_are_checked(in_process, option, value, tmp_path):
    given = [word for name in NEEDED for word in (f"--{name}", tmp_path)]
    done = in_process("MJLAT.py", "train", *given, option, value)
    assert done.returncode == 2
    assert option in done.stderr and len(done.stderr.splitlines()) == 1
