"""Bitstream files: the latents of a picture as strings, and the metadata to decode them.

    magic 8 bytes ─ version 1 byte ─ SHA-256 of the rest, 16 bytes ─ msgpack of `Bitstream`

The SHA-256 covers every field, so damaged files are rejected. The symbols of each latent also have
a checksum, which detects a machine that decodes them differently.
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
STRIDE = 16  # a latent's height and width are those of the frame divided by this
OWN = "own"  # view of pictures that are compressed at their own size
MAGIC = b"LASeRJND"
_VERSION, _DIGEST = 1, 16
_LARGEST_FILE = 2**26
# Limits for msgpack, which allocates as many items as a file claims to have.
_LIMITS = {"max_array_len": 100, "max_str_len": 1000, "max_map_len": 0, "max_ext_len": 0}
_VIEWS = ("stretched", "centre", OWN)
_STORED_VIEWS = {"stretched": "squashed"}  # names of views in version 1 of the file format
MOST_POSITIONS = 2**16  # height times width of a latent: a picture of 16 million pixels


class CodedLatent(NamedTuple):
    """One latent of a picture; checksums are 32 hexadecimal digits."""

    target: str  # what its backbone reconstructs: "Img", or "JND1" to "JND3"
    analysis: str  # checksum of its analysis transform's weights
    backbone: str  # checksum of these and of the synthesis transform's, if the codec has one
    entropy_model: str  # checksum of the entropy model
    symbols: int  # `symbols_checksum` of the quantized latent
    string: bytes  # made by a range coder


class Bitstream(NamedTuple):
    """A compressed picture."""

    height: int  # of the original picture, in pixels
    width: int
    view: str  # how the picture was fitted to 640x352; or OWN: padded to multiples of 16
    latents: list[CodedLatent]

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        if self.view == OWN:
            return -(-self.height // STRIDE), -(-self.width // STRIDE)
        return HEIGHT // STRIDE, WIDTH // STRIDE


def is_bitstream(path: Path) -> bool:
    """Tell by its name whether a file is a bitstream file."""
    return path.suffix.lower() == SUFFIX


def symbols_checksum(latent: np.ndarray, offset: np.ndarray) -> int:
    """Compute the CRC-32 of the integers in a quantized latent [..., channels].

    Args:
        offset: float32 [channels]; the latent is integers plus this.
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
        UserError: they are damaged, truncated, of another version, or not a bitstream file's.
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
    """Raise a ValueError if a field has a value that `pack` never writes."""
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


def find_latent(bitstream: Bitstream, analysis: str, weights: Path) -> CodedLatent:
    """Find the latent made by the analysis transform with the checksum `analysis`.

    The backbones may differ in their synthesis transforms, on which latents do not depend.

    Args:
        weights: the weight file of the analysis transform, named in errors.

    Raises:
        UserError: other analysis transforms made all latents.
    """
    for latent in bitstream.latents:
        if latent.analysis == analysis:
            return latent
    made_by = ", ".join(f"{each.target} {each.analysis[:8]}" for each in bitstream.latents)
    raise UserError(
        f"compressed by the analysis transforms {made_by}, not by {weights}'s {analysis[:8]}; "
        "E2E models train their own, and common.compact rounds weights: compact both files or none"
    )
