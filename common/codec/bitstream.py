"""The file of a coded picture: its latents as strings, and what is needed to read them again.

    magic 8 bytes ─ version 1 byte ─ SHA-256 of the rest, 16 bytes ─ msgpack: the fields below

A file is read whole or refused: the checksum is over every field, and each latent has one of its
own, so that one that decodes to something else on another machine is noticed, too.
"""

import zlib
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from ..base.files import check_regular, checksum

SUFFIX = ".latent"
STRIDE = 16  # pixels per place of a latent, in both directions
OWN = "own"  # the view of a picture that is coded at its own size
_MAGIC, _VERSION, _DIGEST = b"LASeRJND", 1, 16
_LONGEST_FILE = 2**26
# Limits for msgpack, which allocates as many items as a file claims before it reads the first.
_LIMITS = {"max_array_len": 100, "max_str_len": 1000, "max_map_len": 0, "max_ext_len": 0}
_VIEWS = ("squashed", "centre", OWN)
MOST_PLACES = 2**16  # of a latent: a picture of 16 million pixels


class CodedLatent(NamedTuple):
    """One latent of a picture; checksums are 32 hexadecimal digits."""

    target: str  # "Img", or "JND1" to "JND3": what its backbone reconstructs
    analysis: str  # checksum of the weights that made it
    backbone: str  # and of these with the synthesis transform's; that of `analysis` without one
    prior: str  # checksum of the entropy model
    symbols: int  # CRC-32 of the rounded latent: `symbols_checksum`
    string: bytes  # of a range coder


class CodedPicture(NamedTuple):
    """A picture as its latents."""

    height: int  # of the picture that was coded, in pixels
    width: int
    view: str  # how it was fitted to 640x352, or OWN: padded to multiples of 16
    latents: list[CodedLatent]

    @property
    def places(self) -> tuple[int, int]:
        """Height and width of its latents."""
        if self.view == OWN:
            return -(-self.height // STRIDE), -(-self.width // STRIDE)
        return HEIGHT // STRIDE, WIDTH // STRIDE


def is_coded(path: Path) -> bool:
    """Whether a file is a coded picture, by its name."""
    return path.suffix.lower() == SUFFIX


def symbols_checksum(latent: np.ndarray, offset: np.ndarray) -> int:
    """Of a latent [..., channels] that is rounded to integers plus `offset` [channels]."""
    return zlib.crc32(np.rint(latent - offset).astype("<i4").tobytes())


def packed(picture: CodedPicture) -> bytes:
    """The bytes of the file of a coded picture."""
    latents = [[*latent] for latent in picture.latents]
    content = msgpack.packb([picture.height, picture.width, picture.view, latents])
    return _MAGIC + bytes([_VERSION]) + _digest(content) + content


def unpacked(data: bytes) -> CodedPicture:
    """The coded picture that a file of these bytes holds.

    Raises:
        UserError: the file is damaged, cut short, of another kind, or of a later version.
    """
    head = len(_MAGIC) + 1
    if data[: len(_MAGIC)] != _MAGIC:
        raise UserError("not a coded picture of this program, or damaged")
    if data[head - 1 : head] != bytes([_VERSION]):
        raise UserError(f"coded pictures of version {_VERSION} are read here; it is of another")
    content = data[head + _DIGEST :]
    if data[head : head + _DIGEST] != _digest(content):
        raise UserError("damaged or cut short: its checksum does not fit")
    try:
        height, width, view, latents = msgpack.unpackb(content, **_LIMITS)
        picture = CodedPicture(height, width, view, [CodedLatent(*each) for each in latents])
        _check(picture)
    except (ValueError, TypeError, msgpack.UnpackException):
        raise UserError("its checksum fits, but it holds no coded picture") from None
    return picture


def read_coded(path: Path) -> CodedPicture:
    """The coded picture in a file.

    Raises:
        UserError: the file cannot be read, or as `unpacked`.
    """
    try:
        check_regular(path)
        if path.stat().st_size > _LONGEST_FILE:
            message = f"larger than any coded picture ({_LONGEST_FILE:,} bytes)"
            raise UserError(f"{path}: {message}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return unpacked(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _digest(content: bytes) -> bytes:
    return bytes.fromhex(checksum([content]))[:_DIGEST]


def _check(picture: CodedPicture) -> None:
    """Raises:
    ValueError: a field is not what it should be, so that no later step has to ask.
    """
    whole = all(type(side) is int and 0 < side < 2**31 for side in picture[:2])
    if not whole or picture.view not in _VIEWS or np.prod(picture.places) > MOST_PLACES:
        raise ValueError(picture[:3])
    kinds = [str, str, str, str, int, bytes]
    for latent in picture.latents:
        if [type(field) for field in latent] != kinds or not 0 <= latent.symbols < 2**32:
            raise ValueError(latent.target)
