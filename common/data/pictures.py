"""Pixels of image files as viewers see them, read with bounded memory."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps

from ..base.errors import UserError, explain
from ..base.files import check_regular
from . import depth
from .kinds import open_picture

# Peak bytes per pixel while a file is read: Pillow's copy, a rotated copy or the decoder's, and
# ours. Small files that claim many pixels (decompression bombs, damaged headers) are rejected if
# they would need more than `_MEMORY`; large files have no limit.
_BYTES_OF_MODES, _BYTES_OF_COLOURS = {"1": 2, "L": 2, "P": 4, "I;16": 4, "I;16B": 4}, 8
_BYTES_OF_FORMATS = {"JPEG2000": 24, "AVIF": 12, "WEBP": 16, "HEIF": 12, "JXL": 12}
_MEMORY = 650_000_000
_PIXELS_PER_BYTE = 8  # real photographs have fewer

# Colours as AVIF and HEIF (nclx), and PNG (cICP) state them, and what of them is not like sRGB: by
# the numbers of ITU-T H.273.
_STATED_COLOURS = re.compile(rb"colrnclx\0(.)\0(.)|cICP(.)(.)", re.DOTALL)
_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {8: "linear", 16: "PQ", 18: "HLG"}
_HEAD = 2**16  # bytes in which they are looked for

XMP = ("xmp", "XML:com.adobe.xmp")  # Pillow's names of it, the latter in PNGs
TRANSPARENT = "its transparent pixels are shown in the colours stored beneath them"


class Picture(NamedTuple):
    """A picture, and notes for the user on how it was read."""

    rgb: np.ndarray  # uint8 [height, width, 3], red-green-blue; read-only for grey pictures
    notes: list[str]


def read_rgb(path: Path) -> np.ndarray:
    """Return the pixels of `read_picture`; raises as it does."""
    return read_picture(path).rgb


def read_picture(path: Path) -> Picture:
    """Read an image file as viewers see it.

    EXIF orientation is applied, alpha is dropped, grey becomes RGB, and the upper 8 of 16 bits are
    kept. For other depths and floats, `depth` finds the white level. Only the first of several
    frames or pages is read.

    Raises:
        UserError: the file cannot be read, is incomplete, or needs too much memory.
    """
    try:
        check_regular(path)
        with open_picture(path) as image:
            _check_size(image, os.path.getsize(path))
            stored, stated = _raw_mode(image), depth.stated_maximum(image)
            remarks = [*_describe_pages(image), *_describe_colours(path, image)]
            image.load()
            turn_upright(image)
            if image.mode.startswith(("I", "F")):
                grey, notes = depth.to_8_bits(image)
                return Picture(repeat_grey(grey), notes + remarks)
            if image.mode in ("1", "L") and not image.has_transparency_data:
                return Picture(repeat_grey(_read_grey(image)), remarks)
            picture = _read_colour(image)
            picture.notes.extend(remarks)
        if stored:
            _correct_depth(path, stored, stated, picture)
        return picture
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    # On damaged files, Pillow raises exceptions of any type.
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an image ({explain(error)})") from None


def turn_upright(image: Image.Image) -> None:
    """Turn the pixels as EXIF's orientation says, in place, and remove it from EXIF and XMP.

    Where Pillow cannot write EXIF without it, because a tag is damaged, both are removed from
    `image.info`.
    """
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # of any type; the pixels have been turned by then
        for name in ("exif", *XMP):
            image.info.pop(name, None)


def read_size(path: Path) -> tuple[int, int]:
    """Read the stored width and height of an image file, without decoding its pixels.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open_picture(path) as image:
            return image.size
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an image ({explain(error)})") from None


def _check_size(image: ImageFile.ImageFile, size: int) -> None:
    """Check that a picture of these dimensions is plausible for a file of `size` bytes.

    Raises:
        ValueError: it would need too much memory.
    """
    pixels = image.width * image.height
    each = _BYTES_OF_FORMATS.get(
        str(image.format), _BYTES_OF_MODES.get(image.mode, _BYTES_OF_COLOURS)
    )
    if pixels * each > _MEMORY and pixels > _PIXELS_PER_BYTE * size:
        raise ValueError(
            f"{image.width}x{image.height} pixels in {size} bytes; the limit for a file "
            f"this small is {_MEMORY // each // 10**6} million"
        )


def _read_grey(image: Image.Image) -> np.ndarray:
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, strip in depth.strips(image):
        grey[rows] = strip.convert("L")
    return grey


def _read_colour(image: Image.Image) -> Picture:
    rgb, opaque = np.empty((image.height, image.width, 3), np.uint8), True
    through_alpha = image.has_transparency_data
    for rows, strip in depth.strips(image):
        # RGBA turns transparent palette entries and key colours into an alpha channel to drop.
        if through_alpha:
            strip = strip.convert("RGBA")
            opaque = opaque and strip.getchannel("A").getextrema()[0] == 255
        rgb[rows] = strip.convert("RGB")
    return Picture(rgb, [] if opaque else [TRANSPARENT])


def repeat_grey(grey: np.ndarray) -> np.ndarray:
    """Make a view of grey pixels [height, width] as red, green and blue."""
    return np.broadcast_to(grey[..., np.newaxis], (*grey.shape, 3))


def _describe_pages(image: ImageFile.ImageFile) -> list[str]:
    """Make a note if a file has further pages or frames, which are not read."""
    count = getattr(image, "n_frames", 1) if image.format in ("TIFF", "WEBP", "AVIF") else 1
    return [f"only the first of its {count} pages or frames is read"] if count > 1 else []


def _describe_colours(path: Path, image: ImageFile.ImageFile) -> list[str]:
    """Make a note if a file says that its colours are not those of sRGB, without a profile."""
    if image.format not in ("AVIF", "HEIF", "PNG") or image.info.get("icc_profile"):
        return []
    with path.open("rb") as file:
        stated = _STATED_COLOURS.search(file.read(_HEAD))
    if not stated:
        return []
    primaries, transfer = (part[0] for part in stated.groups() if part)
    names = [name for name in (_PRIMARIES.get(primaries), _TRANSFERS.get(transfer)) if name]
    return [f"its colours ({', '.join(names)}) are treated as sRGB"] if names else []


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return the raw mode of 16-bit colours, which Pillow reduces to 8 bits, or else ""."""
    arguments = (each.args for each in image.tile if each.args)
    stored = {str(args if isinstance(args, str) else args[0]) for args in arguments}
    match = re.fullmatch(r"(RGB[AX]?);16[BLN]", "".join(stored))
    return match[0] if match else ""


def _correct_depth(path: Path, stored: str, stated: float | None, picture: Picture) -> None:
    """Rescale 16-bit colours in place if they fill few bits, or the file states fewer than 16."""
    upper = picture.rgb
    if int(upper.max()) >= 2 ** (depth.GUESSED[-1] - 8) and (stated is None or stated >= 2**15):
        return
    # Read with the other byte order, the upper bytes are the lower ones.
    other = stored[:-1] + {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}[stored[-1]]
    with open_picture(path) as image:
        image.tile = [
            each._replace(args=(other, *each.args[1:]) if isinstance(each.args, tuple) else other)
            for each in image.tile
        ]
        image.load()
        turn_upright(image)
        lower = _read_colour(image).rgb
    bits, notes = depth.guess_bits(depth.Values.of_bytes(upper, lower), 16, stated)
    picture.notes.extend(notes)
    np.left_shift(upper, 16 - bits, out=upper)
    np.bitwise_or(upper, lower >> (bits - 8), out=upper)
