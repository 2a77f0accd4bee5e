"""The entropy models of frozen backbones, for heads that are trained on quantized latents."""

from pathlib import Path

import numpy as np

from ..base.constants import LEVELS
from ..base.errors import UserError
from ..base.program import program
from ..codec.entropy_model import EntropyModel, copy_entropy_model
from ..models.backbone import Backbone
from ..models.build import Parts
from ..models.weight_paths import entropy_file


def entropy_files(backbone_files: list[Path]) -> list[Path]:
    """Name the files of the backbones' entropy models.

    Raises:
        UserError: one is missing.
    """
    paths = [entropy_file(file) for file in backbone_files]
    for path in paths:
        if not path.exists():
            message = f"{program('entropy')} trains this model"
            raise UserError(f"{path}: no such file, and --quantized needs it; {message}")
    return paths


def quantization_offsets(backbones: list[Backbone], files: list[Path]) -> list[np.ndarray]:
    """Read the quantization offsets [192] of `backbones`, whose weights come from `files`.

    Raises:
        UserError: an entropy model is missing or damaged, or belongs to another backbone.
    """
    offsets = []
    for backbone, path in zip(backbones, entropy_files(files)):
        entropy_model = EntropyModel()
        entropy_model.read(path, backbone.whole)
        offsets.append(entropy_model.quantization_offset())
    return offsets


def copy_entropy_models(model: Parts, backbone_files: list[Path], weights_file: Path) -> None:
    """Copy the frozen backbones' entropy models beside the weights of a model that sees latents.

    Backbones without an entropy model are skipped.
    """
    description = model.description
    if description.sees != "latent" or description.end_to_end:
        return
    for level, own, file in zip(LEVELS, model.backbones, backbone_files):
        if entropy_file(file).exists():
            target = entropy_file(weights_file, level if description.multitask else None)
            copy_entropy_model(entropy_file(file), own.analysis, target, overwrite=True)
