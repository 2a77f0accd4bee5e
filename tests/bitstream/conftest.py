"""Backbones, and pictures that they compressed, for the tests of bitstream files."""

import pytest
from PIL import Image

from common.base.framework import tf
from common.codec.entropy_model import EntropyModel
from common.commands.main import main
from common.models.backbone import build_backbone
from common.models.build import build_model, start_from
from common.models.descriptions import MODELS
from common.models.wavelets import initialise_as_wavelets
from common.models.weight_paths import entropy_file
from common.models.weights import read_weights, write_weights
from tests import golden
from tests.bitstream.helpers import LEVELS
from tests.synthetic import picture


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three backbones with entropy models, and MJ-LAT, LAT and E2E-LAT on them."""
    folder = tmp_path_factory.mktemp("weights")
    tf.keras.utils.set_random_seed(0)
    backbones = []
    for seed, level in enumerate(LEVELS):
        backbones.append(build_backbone())
        initialise_as_wavelets(backbones[-1], seed)
        path = folder / f"{level}Reconstruction.h5"
        write_weights(backbones[-1].whole, path)
        EntropyModel().write(entropy_file(path), backbones[-1].whole)
    for name, own in (("MJLAT", backbones), ("LAT", backbones[:1]), ("E2ELAT", backbones[:1])):
        model = build_model(MODELS[name])
        golden.write_weights(name, folder / "golden.h5")
        read_weights(model.whole, folder / "golden.h5")
        start_from(model, own)
        write_weights(model.whole, folder / f"{name}{'' if name == 'MJLAT' else 'JND1'}.h5")
    return folder


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A ROOT whose test pictures are called so that their order is natural, not the alphabet's."""
    root = tmp_path_factory.mktemp("root")
    (root / "test").mkdir()
    for number in (2, 9, 10):
        Image.fromarray(picture(number)).save(root / "test" / f"a b{number}.png")
    (root / "test" / "JND-Levels.txt").write_text("20 25 30\n22 27 32\n24 29 34\n")
    return root


@pytest.fixture(scope="session")
def coded(folder, root, tmp_path_factory):
    """The same ROOT of coded pictures, for all three levels."""
    out = tmp_path_factory.mktemp("coded")
    given = ["compress", "--target", *LEVELS, "--model_weights_path", folder, "--out", out]
    assert main("backbone", [str(each) for each in [*given, "--data_dir", root]]) == 0
    return out


@pytest.fixture(scope="session")
def file(coded):
    return coded / "test" / "a b2.png.latent"
