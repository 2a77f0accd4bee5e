"""Decoding of bitstream files to latents, which takes an entropy model and no transform."""

import functools
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from .bitstream import STRIDE, Bitstream, CodedLatent, symbols_checksum
from .entropy_model import find_entropy_model
from .range_coding import RangeCoder

_LOADING = threading.Lock()  # so that threads load each coder once


def decode(latent: CodedLatent, size: tuple[int, int], folders: Iterable[Path]) -> np.ndarray:
    """Decode a latent, float32 [*size, 192], quantized as it was by the encoder.

    Args:
        folders: where to look for its entropy model.

    Raises:
        UserError: the entropy model is not there, the string is another library's, or decodes to
            something other than what was encoded.
    """
    with _LOADING:
        coder = _load_coder(latent.entropy_model, tuple(folders))
    values = coder.decompress(latent.string, size)
    if symbols_checksum(values, coder.offset) != latent.symbols:
        raise UserError(
            f"its {latent.target} string does not decode to what was encoded: it was made with "
            "other versions of the packages, or on a machine that computes differently"
        )
    return values


def latents_for_head(
    analyses: Sequence[str], bitstream: Bitstream, folders: Iterable[Path], weights: Path
) -> list[np.ndarray]:
    """Decode what a model's head sees of a picture: float32 [22, 40, 192] per backbone.

    For a picture compressed at its own size, that is the middle of its latents.

    Args:
        analyses: the checksums of the analysis transforms of the model's backbones.
        weights: the model's weight file, to name it in errors.

    Raises:
        UserError: other backbones compressed the picture, it is smaller than 640x352, or as
            `decode`.
    """
    coded = [find_latent(bitstream, analysis, weights) for analysis in analyses]
    height, width = bitstream.latent_size
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    if height < rows or width < columns:
        size = f"{bitstream.width}x{bitstream.height}"
        raise UserError(f"coded at its own size, {size}, of which {WIDTH}x{HEIGHT} cannot be seen")
    top, left = (height - rows) // 2, (width - columns) // 2
    latents = (decode(each, bitstream.latent_size, folders) for each in coded)
    return [latent[top : top + rows, left : left + columns] for latent in latents]


def find_latent(bitstream: Bitstream, analysis: str, weights: Path) -> CodedLatent:
    """Find the latent that the analysis transform with a checksum made.

    Two backbones with the same analysis transform make the same latents, whatever their synthesis.

    Args:
        weights: the weight file of the analysis transform, to name it in errors.

    Raises:
        UserError: other analysis transforms made all latents.
    """
    for latent in bitstream.latents:
        if latent.analysis == analysis:
            return latent
    made_by = ", ".join(f"{each.target} {each.analysis[:8]}" for each in bitstream.latents)
    raise UserError(
        f"compressed by the analysis transforms {made_by}, not by {weights}'s {analysis[:8]}; "
        "E2E models train their own, and common.compact rounds them: compact both files or neither"
    )


@functools.lru_cache(maxsize=16)
def _load_coder(entropy_model: str, folders: tuple[Path, ...]) -> RangeCoder:
    return find_entropy_model(entropy_model, folders).coder
