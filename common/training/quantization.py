"""The entropy models of frozen backbones, for heads that are to see latents as a decoder does."""

from pathlib import Path

import numpy as np

from ..base.constants import LEVELS
from ..base.errors import UserError
from ..codec.entropy_model import (
    build_prior,
    copy_prior,
    entropy_file,
    quantization_offset,
    read_prior,
)
from ..models.backbone import Backbone
from ..models.build import Parts


def entropy_files(backbone_files: list[Path]) -> list[Path]:
    """The files of the backbones' entropy models.

    Raises:
        UserError: one is not there.
    """
    paths = [entropy_file(file) for file in backbone_files]
    for path in paths:
        if not path.exists():
            message = "python3 -m common.reconstruct prior makes it"
            raise UserError(f"{path}: no such file, and --quantized needs it; {message}")
    return paths


def quantization_offsets(backbones: list[Backbone], files: list[Path]) -> list[np.ndarray]:
    """What the latents of `backbones`, read from `files`, are rounded to integers plus [192]."""
    offsets = []
    for backbone, path in zip(backbones, entropy_files(files)):
        prior = build_prior()
        read_prior(prior, backbone.whole, path)
        offsets.append(quantization_offset(prior))
    return offsets


def copy_priors(model: Parts, backbone_files: list[Path], weights_file: Path) -> None:
    """Copy what entropy models a latent model's frozen backbones have beside its weights."""
    description = model.description
    if description.sees != "latent" or description.end_to_end:
        return
    for level, own, file in zip(LEVELS, model.backbones, backbone_files):
        if entropy_file(file).exists():
            target = entropy_file(weights_file, level if description.multitask else None)
            copy_prior(entropy_file(file), own.analysis, target)
