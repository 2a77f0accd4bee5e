"""Decoding of bitstream files to latents, which needs entropy models but no transforms."""

import functools
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from .bitstream import STRIDE, Bitstream, CodedLatent, find_latent, symbols_checksum
from .entropy_model import find_entropy_model
from .range_coding import RangeCoder

_LOADING = threading.Lock()  # makes threads load each coder only once


def decode(latent: CodedLatent, size: tuple[int, int], folders: Iterable[Path]) -> np.ndarray:
    """Decode a latent, float32 [*size, 192], quantized as by the encoder.

    Args:
        folders: where to look for its entropy model.

    Raises:
        UserError: there is no such entropy model, or the string was made by another library or
            decodes to other symbols than were encoded.
    """
    with _LOADING:
        coder = _load_coder(latent.entropy_model, tuple(folders))
    values = coder.decompress(latent.string, size)
    if symbols_checksum(values, coder.offset) != latent.symbols:
        raise UserError(
            f"its {latent.target} string does not decode to what was encoded: other versions of "
            "the packages made it, or a machine that computes differently"
        )
    return values


def latents_for_head(
    analyses: Sequence[str], bitstream: Bitstream, folders: Iterable[Path], weights: Path
) -> list[np.ndarray]:
    """Decode the input of a model's head: a latent, float32 [22, 40, 192], per backbone.

    For a picture compressed at its own size, that is the centre of its latents.

    Args:
        analyses: the checksums of the analysis transforms of the model's backbones.
        weights: the model's weight file, named in errors.

    Raises:
        UserError: other backbones compressed the picture, it is smaller than 640x352, or as
            `decode`.
    """
    coded = [find_latent(bitstream, analysis, weights) for analysis in analyses]
    height, width = bitstream.latent_size
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    if height < rows or width < columns:
        size = f"{bitstream.width}x{bitstream.height}"
        raise UserError(f"compressed at its own size, {size}, smaller than {WIDTH}x{HEIGHT}")
    top, left = (height - rows) // 2, (width - columns) // 2
    latents = (decode(each, bitstream.latent_size, folders) for each in coded)
    return [latent[top : top + rows, left : left + columns] for latent in latents]


@functools.lru_cache(maxsize=16)
def _load_coder(entropy_model: str, folders: tuple[Path, ...]) -> RangeCoder:
    return find_entropy_model(entropy_model, folders).coder
