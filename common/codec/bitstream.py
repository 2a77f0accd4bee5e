"""Bitstream files: the latents of a picture as strings, and what it takes to decode them.

    magic 8 bytes ─ version 1 byte ─ SHA-256 of the rest, 16 bytes ─ msgpack: the fields below

A file is read whole or rejected: the checksum covers every field. Each latent has a checksum of its
own, so that one that decodes differently on another machine is noticed, too.
"""

import math
import zlib
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np

from ..base.constants import HEIGHT, OLD_VIEWS, WIDTH
from ..base.errors import UserError
from ..base.files import check_regular, checksum

SUFFIX = ".latent"
STRIDE = 16  # pixels per value of a latent's channel, in both directions
OWN = "own"  # the view of a picture that is compressed at its own size
MAGIC = b"LASeRJND"
_VERSION, _DIGEST = 1, 16
_LARGEST_FILE = 2**26
# Limits for msgpack, which allocates as many items as a file claims before it reads the first.
_LIMITS = {"max_array_len": 100, "max_str_len": 1000, "max_map_len": 0, "max_ext_len": 0}
_VIEWS = ("stretched", "centre", OWN)
_STORED_VIEWS = {"stretched": "squashed"}  # as version 1 of the file calls it
MOST_POSITIONS = 2**16  # height times width of a latent: a picture of 16 million pixels


class CodedLatent(NamedTuple):
    """One latent of a picture; checksums are 32 hexadecimal digits."""

    target: str  # "Img", or "JND1" to "JND3": what its backbone reconstructs
    analysis: str  # checksum of the weights of the analysis transform that made it
    backbone: str  # checksum that includes the synthesis transform, if the codec had one
    entropy_model: str  # checksum of the entropy model
    symbols: int  # `symbols_checksum` of the quantized latent
    string: bytes  # from a range coder


class Bitstream(NamedTuple):
    """A picture as its latents."""

    height: int  # of the picture before it was compressed, in pixels
    width: int
    view: str  # how it was fitted to 640x352, or OWN: padded to multiples of 16
    latents: list[CodedLatent]

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of its latents."""
        if self.view == OWN:
            return -(-self.height // STRIDE), -(-self.width // STRIDE)
        return HEIGHT // STRIDE, WIDTH // STRIDE


def is_bitstream(path: Path) -> bool:
    """Whether a file is a bitstream file, by its name."""
    return path.suffix.lower() == SUFFIX


def symbols_checksum(latent: np.ndarray, offset: np.ndarray) -> int:
    """CRC-32 of the integers in a quantized latent [..., channels].

    Args:
        offset: what the latent is integers plus, float32 [channels].
    """
    return zlib.crc32(np.rint(latent - offset).astype("<i4").tobytes())


def pack(bitstream: Bitstream) -> bytes:
    """Serialize a bitstream file."""
    latents = [[*latent] for latent in bitstream.latents]
    view = _STORED_VIEWS.get(bitstream.view, bitstream.view)
    content = msgpack.packb([bitstream.height, bitstream.width, view, latents])
    return MAGIC + bytes([_VERSION]) + _digest(content) + content


def unpack(data: bytes) -> Bitstream:
    """Parse the bytes of a bitstream file.

    Raises:
        UserError: they are damaged, truncated, of another kind, or of a later version.
    """
    head = len(MAGIC) + 1
    if data[: len(MAGIC)] != MAGIC:
        raise UserError("not a bitstream file of this program, or damaged")
    if data[head - 1 : head] != bytes([_VERSION]):
        raise UserError(f"a bitstream file of another version; only version {_VERSION} can be read")
    content = data[head + _DIGEST :]
    if data[head : head + _DIGEST] != _digest(content):
        raise UserError("damaged or truncated: its checksum does not match")
    try:
        height, width, view, latents = msgpack.unpackb(content, **_LIMITS)
        view = OLD_VIEWS.get(view, view)
        bitstream = Bitstream(height, width, view, [CodedLatent(*each) for each in latents])
        _check(bitstream)
    except (ValueError, TypeError, msgpack.UnpackException):
        raise UserError("its checksum matches, but its fields are not a bitstream file's") from None
    return bitstream


def read_bitstream(path: Path) -> Bitstream:
    """Read a bitstream file.

    Raises:
        UserError: the file cannot be read, or as `unpack`.
    """
    try:
        check_regular(path)
        if path.stat().st_size > _LARGEST_FILE:
            message = f"larger than any bitstream file ({_LARGEST_FILE:,} bytes)"
            raise UserError(f"{path}: {message}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return unpack(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _digest(content: bytes) -> bytes:
    return bytes.fromhex(checksum([content]))[:_DIGEST]


def _check(bitstream: Bitstream) -> None:
    """Check all fields, so that no later step has to.

    Raises:
        ValueError: a field has a value that `pack` never writes.
    """
    whole = all(type(side) is int and 0 < side < 2**31 for side in bitstream[:2])
    if (
        not whole
        or bitstream.view not in _VIEWS
        or math.prod(bitstream.latent_size) > MOST_POSITIONS
    ):
        raise ValueError(bitstream[:3])
    kinds = [str, str, str, str, int, bytes]
    for latent in bitstream.latents:
        if [type(field) for field in latent] != kinds or not 0 <= latent.symbols < 2**32:
            raise ValueError(latent.target)
