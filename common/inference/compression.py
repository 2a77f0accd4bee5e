"""Conversion of picture files to bitstream files, and back."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from ..base.errors import UserError
from ..base.files import OUR_PNG, atomic_write
from ..codec.bitstream import (
    MOST_POSITIONS,
    OWN,
    STRIDE,
    Bitstream,
    find_latent,
    pack,
    read_bitstream,
)
from ..data.frames import fit
from ..data.pictures import read_rgb
from ..data.side_by_side import png_software
from .compression_files import OUR_BITSTREAM

if TYPE_CHECKING:
    from ..codec.latent_codec import LatentCodec


class Compressed(NamedTuple):
    """Result of compressing a picture."""

    file: Path
    out: Path
    width: int  # of the picture, in pixels
    height: int
    bytes: int  # of the bitstream file
    bits_per_pixel: dict[str, float]  # by target


class Decompressed(NamedTuple):
    """Result of decompressing a bitstream file."""

    file: Path
    out: Path
    width: int  # in pixels
    height: int


def compress_picture(
    codecs: "Sequence[LatentCodec]", path: Path, target: Path, view: str, overwrite: bool = False
) -> Compressed:
    """Compress the picture at `path` to the bitstream file `target`.

    Args:
        view: a view of `data.frames.fit` that gives one frame, or OWN: the picture's own size.
        overwrite: also replace files that are not bitstream files.

    Raises:
        UserError: the picture cannot be read or is too large, or an entropy model is missing.
    """
    rgb = read_rgb(path)
    height, width = rgb.shape[:2]
    bitstream = Bitstream(height, width, view, [])
    if math.prod(bitstream.latent_size) > MOST_POSITIONS:
        message = f"compressing {width}x{height} pixels takes too much memory"
        raise UserError(f"{path}: {message}; choose another --view than {OWN}")
    frame = (_pad(rgb) if view == OWN else fit(rgb, view)[0])[..., ::-1]
    bitstream = bitstream._replace(latents=[codec.compress(frame) for codec in codecs])
    data = pack(bitstream)
    with atomic_write(target, OUR_BITSTREAM, overwrite) as temporary:
        temporary.write_bytes(data)
    pixels = math.prod(bitstream.latent_size) * STRIDE**2
    bits = {each.target: 8 * len(each.string) / pixels for each in bitstream.latents}
    return Compressed(path, target, width, height, len(data), bits)


def decompress_picture(
    codec: "LatentCodec", path: Path, target: Path, overwrite: bool = False
) -> Decompressed:
    """Reconstruct the bitstream file at `path` with `codec`, and write the PNG `target`.

    Args:
        overwrite: also replace pictures that this program did not make.

    Raises:
        UserError: the file cannot be read, or was compressed by another analysis transform.
    """
    bitstream = read_bitstream(path)
    try:
        latent = find_latent(bitstream, codec.analysis_checksum, codec.weights)
        values = codec.decompress(latent, bitstream.latent_size)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    rgb = codec.synthesise(values)[..., ::-1]
    if bitstream.view == OWN:
        rgb = rgb[: bitstream.height, : bitstream.width]
    with atomic_write(target, OUR_PNG, overwrite) as temporary:
        Image.fromarray(rgb).save(temporary, "PNG", pnginfo=png_software())
    return Decompressed(path, target, rgb.shape[1], rgb.shape[0])


def _pad(rgb: np.ndarray) -> np.ndarray:
    """Pad a picture to multiples of 16 by repeating its last row and column."""
    below, right = (-side % STRIDE for side in rgb.shape[:2])
    return np.pad(rgb, ((0, below), (0, right), (0, 0)), "edge")
