"""What several tests of bitstream files compute."""

from common.codec.entropy_model import EntropyModel
from common.models.backbone import build_backbone
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.weight_paths import entropy_file
from common.models.weights import read_weights

LEVELS = ("JND1", "JND2", "JND3")
FLOAT32 = ("--precision", "float32")  # as test does by default


def coder_of(folder, level):
    backbone, entropy_model = build_backbone(), EntropyModel()
    path = folder / f"{level}Reconstruction.h5"
    read_weights(backbone.whole, path)
    entropy_model.read(entropy_file(path), backbone.whole)
    return backbone, entropy_model.coder


def write_entropy_model_of_lat(folder, path):
    model = build_model(MODELS["LAT"])
    read_weights(model.whole, folder / "LATJND1.h5")
    EntropyModel().write(path, model.backbones[0].analysis)
