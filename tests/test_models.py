"""Backbone and models against what the published implementation gave for the same weights.

The form that predicts in float32 on a CPU is measured so in test_cli.py, on its way from files.
"""

import re

import h5py
import numpy as np
import pytest

from common.base.errors import UserError
from common.base.framework import layers, tf
from common.models.backbone import build_backbone
from common.models.build import Parts, build_model, count_most_frames, start_from
from common.models.descriptions import MODELS
from common.models.weights import read_weights, write_weights
from common.training.predictor import check_batch
from tests import golden

pytestmark = pytest.mark.tensorflow

# SPEC.md's table of weights; and by hand, those that train: without frozen backbones (1,443,776
# weights of analysis, 2,887,363 of both transforms, three times for MJ) and moving statistics.
WEIGHTS = {
    "LAT": (9_783_225, 9_783_225 - 1_443_776 - 2 * (192 + 64 + 128 + 256 + 512)),
    "REC": (8_078_384, 8_078_384 - 2_887_363 - 2 * (3 + 512 + 256 + 128 + 64 + 32)),
    "E2ELAT": (11_226_812, 11_226_812 - 2 * (192 + 64 + 128 + 256 + 512)),
    "E2EREC": (8_078_384, 8_078_384 - 2 * (3 + 512 + 256 + 128 + 64 + 32)),
    "MJLAT": (26_070_091, 26_070_091 - 3 * 1_443_776 - 2 * (3 * (192 + 64) + 128 + 256 + 512)),
    "MJREC": (13_886_928, 13_886_928 - 3 * 2_887_363 - 2 * (3 * (3 + 512) + 256 + 128 + 64 + 32)),
}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return golden.frames().astype(np.float32)


def test_backbone_matches_the_published_one(frames, tmp_path):
    golden.write_weights("Backbone", tmp_path / "Backbone.h5")
    backbone = build_backbone()
    read_weights(backbone.whole, tmp_path / "Backbone.h5")
    latents, reconstructions = backbone.analysis(frames).numpy(), backbone.whole(frames).numpy()
    assert np.array_equal(backbone.synthesis(latents), reconstructions)
    expected = golden.EXPECTED["Backbone"]
    assert backbone.whole.count_params() == 2_887_363
    assert list(latents.shape) == expected["latent_shape"]
    some_latents = latents[:, 5::8, 7::16, ::48]
    assert np.abs(some_latents - expected["latent[:,5::8,7::16,::48]"]).max() < 1e-3
    _assert_reconstructions(reconstructions, expected)


def _assert_reconstructions(reconstructions: np.ndarray, expected: dict) -> None:
    some = reconstructions[:, 40::100, 50::180]
    assert np.abs(some - expected["reconstruction[:,40::100,50::180,:]"]).max() < 0.05


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory) -> tuple[str, Parts]:
    """Name and model, with the seeded weights."""
    name = request.param
    path = tmp_path_factory.mktemp("weights") / f"{name}.h5"
    golden.write_weights(name, path)
    built = build_model(MODELS[name])
    read_weights(built.whole, path)
    path.unlink()
    return name, built


def test_keras_model_matches_the_published_one(model, frames):
    name, built = model
    expected = golden.EXPECTED[name]
    one = [np.array(output) for output in tf.nest.flatten(built.whole(frames[:1], training=False))]
    if MODELS[name].end_to_end:
        reconstruction = one.pop(0)
        some = np.array(expected["reconstruction[:,40::100,50::180,:]"])[:1]
        assert np.abs(reconstruction[:, 40::100, 50::180] - some).max() < 0.05
    assert np.ravel(one) == pytest.approx(expected["levels"][0], rel=1e-3)


def test_counts_of_weights(model):
    name, built = model
    trainable = sum(int(np.prod(weight.shape)) for weight in built.whole.trainable_weights)
    assert (built.whole.count_params(), trainable) == WEIGHTS[name]


def test_written_file_has_the_published_layout(model, tmp_path):
    name, built = model
    write_weights(built.whole, tmp_path / "written.h5")
    with h5py.File(tmp_path / "written.h5") as file:
        written = [
            [
                _unnumbered(layer),
                [
                    [_unnumbered(w), list(file[layer][w].shape)]
                    for w in file[layer].attrs["weight_names"]
                ],
            ]
            for layer in file.attrs["layer_names"]
        ]
    published = [
        [_unnumbered(layer), [[_unnumbered(w), shape] for w, shape in weights]]
        for layer, weights in golden.LAYOUT[name]
    ]
    assert written == published


def _unnumbered(name: str) -> str:
    """The name without the number that Keras gives layers as a process makes them."""
    return re.sub(r"_\d+(?=/|$)", "", name)


def test_training_along_or_frozen(model):
    name, built = model
    layers = [layer for backbone in built.backbones for layer in backbone.whole.layers]
    layers = [layer for layer in layers if layer.weights]
    assert len(layers) == (8 if name in ("E2ELAT", "REC", "E2EREC") else 4) or "MJ" in name
    assert {layer.trainable for layer in layers} == {MODELS[name].end_to_end}


def test_parts_make_up_the_whole(model, frames):
    """What the backbones give, the head takes; both have the whole's weights."""
    name, built = model
    if MODELS[name].sees == "latent":  # the others take seconds per frame, in test_cli.py too
        seen = built.features(frames[:1], training=False)
        levels = tf.nest.flatten(built.head(seen, training=False))
        whole = tf.nest.flatten(built.predicting(frames[:1], training=False))
        for one, other in zip(levels, whole):
            assert np.array_equal(one, other)
    parts = [built.head, *(backbone.whole for backbone in built.backbones)]
    kept = {id(weight) for weight in built.whole.weights}
    assert {id(weight) for part in parts for weight in part.weights} == kept


def test_backbones_start_from_theirs(model):
    """Each from its own, layer by layer; what makes the JND frame afresh."""
    name, _ = model
    built = build_model(MODELS[name])
    before = [weight.numpy() for weight in built.head.weights]
    given = [build_backbone() for _ in built.backbones]
    start_from(built, given)
    for own, theirs in zip(built.backbones, given):
        same = [
            np.array_equal(one, other)
            for one, other in zip(own.whole.get_weights(), theirs.whole.get_weights())
        ]
        count = 8 if own.synthesis is None else 16
        afresh = [False, True] if MODELS[name].end_to_end else []  # a kernel, and a bias of zeros
        assert same == [True] * (count - len(afresh)) + afresh
    if name != "E2EREC":
        for weight, value in zip(built.head.weights, before):
            assert np.array_equal(weight, value)


def test_crops_of_any_size_take_the_same_weights(tmp_path):
    backbone = build_backbone((None, None, 3)).whole
    write_weights(backbone, tmp_path / "w.h5")
    whole = build_backbone().whole
    read_weights(whole, tmp_path / "w.h5")
    frame = golden.frames(1).astype(np.float32)
    assert np.array_equal(whole(frame), backbone(frame))
    assert backbone(frame[:, :64, :32]).shape == (1, 64, 32, 3)


def test_names_that_keras_keeps_for_itself():
    """What this project uses of them, for whoever tries another TensorFlow."""
    frames = layers.Input((4,))
    activated = tf.nn.relu(layers.Dense(1, name="level")(frames))
    assert activated.node.layer.output is activated  # heads.build_block
    model = tf.keras.Model(frames, [activated, activated])
    optimizer = tf.keras.optimizers.Adam()
    model.compile(optimizer, "mae")
    model.compiled_loss.build(model.outputs)  # training.predictor._compile
    model.compiled_metrics.build(model.outputs, model.outputs)
    # report.complexity
    assert [len(each["inbound_nodes"]) for each in model.get_config()["layers"]][:2] == [0, 1]


def test_frames_that_a_gpu_takes():
    """2^31 values at most of a layer: 512 channels of 640x352, 128 of 320x176, 192 of 40x22."""
    for name, whole, head in (("REC", 18, 18), ("MJREC", 18, 18), ("E2ELAT", 297, 12710)):
        model = build_model(MODELS[name])
        assert count_most_frames(model.whole) == whole and count_most_frames(model.head) == head
    with pytest.raises(UserError, match="takes at most 18 frames of REC per step"):
        check_batch(MODELS["REC"], build_model(MODELS["REC"]).head, 19)
