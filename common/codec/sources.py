"""Whose analysis transforms code a picture: those of backbones, or of a model that sees latents."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..models.backbone import Backbone, build_backbone
from ..models.build import build_model
from ..models.descriptions import Description
from ..models.weights import read_weights
from .entropy_model import entropy_file, weights_checksum


class Source(NamedTuple):
    """A backbone that codes, for pictures of any size."""

    target: str  # what it reconstructs: "Img", or "JND1" to "JND3"
    backbone: Backbone  # without a synthesis transform where it is a model's
    entropy: Path  # where its entropy model is, or is to be

    @property
    def checksums(self) -> tuple[str, str]:
        """Of the weights of its analysis transform, and of all, as a coded picture has them."""
        analysis, whole = self.backbone.analysis, self.backbone.whole
        return weights_checksum(analysis)[:32], weights_checksum(whole)[:32]


def read_sources(
    description: Description | None, files: Sequence[Path], targets: Sequence[str]
) -> list[Source]:
    """The backbones in weight files, in the order of the `targets`.

    Args:
        description: whose the one file is; None: each file is the backbone of a target.

    Raises:
        UserError: a file is damaged or another model's.
    """
    sources = []
    if not description:
        for target, file in zip(targets, files):
            backbone = build_backbone((None, None, 3))
            read_weights(backbone.whole, file)
            sources.append(Source(target, backbone, entropy_file(file)))
        return sources
    (file,) = files
    model = build_model(description)
    read_weights(model.whole, file)
    for target, own in zip(targets, model.backbones):
        analysis = build_backbone((None, None, 3)).analysis
        analysis.set_weights(own.analysis.get_weights())
        entropy = entropy_file(file, target if description.multitask else None)
        sources.append(Source(target, Backbone(analysis, analysis, None), entropy))
    return sources
