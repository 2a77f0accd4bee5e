"""From the strings of a coded picture to its latents, with no transform on the way."""

import functools
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from .bitstream import STRIDE, CodedLatent, CodedPicture, symbols_checksum
from .entropy_model import build_coder, find_prior
from .range_coding import Coder

_BUILDING = threading.Lock()  # held while building a coder: threads build each once


def decoded(latent: CodedLatent, places: tuple[int, int], folders: Iterable[Path]) -> np.ndarray:
    """A latent float32 [*places, 192], as it was rounded when it was coded.

    Args:
        folders: where its entropy model may lie.

    Raises:
        UserError: the entropy model is not there, the string is another library's, or decodes to
            something else than it was made from.
    """
    with _BUILDING:
        coder = _coder(latent.prior, tuple(folders))
    values = np.asarray(coder.decompress([latent.string], places))[0]
    if symbols_checksum(values, coder.offset) != latent.symbols:
        raise UserError(
            f"its {latent.target} string does not decode to what was coded: made with other "
            "versions of the packages, or on a machine that counts otherwise"
        )
    return values


def latents_for(
    analyses: Sequence[str], picture: CodedPicture, folders: Iterable[Path], weights: Path
) -> list[np.ndarray]:
    """What a head of these backbones sees of a coded picture: float32 [22, 40, 192] each.

    Of a picture coded at its own size that is the middle of its latents.

    Args:
        analyses: the checksums of the backbones' analysis transforms.
        weights: the file that they are in, to be told.

    Raises:
        UserError: the picture was coded by other backbones, is smaller than 640x352, or as
            `decoded`.
    """
    by_analysis = {latent.analysis: latent for latent in picture.latents}
    missing = [analysis for analysis in analyses if analysis not in by_analysis]
    if missing:
        has = ", ".join(f"{each.target} {each.analysis[:8]}" for each in picture.latents)
        raise UserError(
            f"coded by the backbones {has}, not by {weights}'s {missing[0][:8]}; "
            "common.compact rounds backbones, and E2E models train their own"
        )
    height, width = picture.places
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    if height < rows or width < columns:
        size = f"{picture.width}x{picture.height}"
        raise UserError(f"coded at its own size, {size}, of which {WIDTH}x{HEIGHT} cannot be seen")
    top, left = (height - rows) // 2, (width - columns) // 2
    latents = (decoded(by_analysis[each], picture.places, folders) for each in analyses)
    return [latent[top : top + rows, left : left + columns] for latent in latents]


@functools.lru_cache(maxsize=16)
def _coder(prior: str, folders: tuple[Path, ...]) -> Coder:
    """The range coder of the entropy model with this checksum."""
    return build_coder(find_prior(prior, folders))
