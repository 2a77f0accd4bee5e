"""The pixels of an image file as viewers see them, in little memory."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps

from common.data import depth
from common.data.kinds import open_picture
from common.errors import UserError
from common.files import check_regular

# Bytes that each pixel takes at most while a file is read: Pillow's, those of a turned copy or of
# the decoder, and ours. Small files of many pixels are read within the memory below, or refused;
# so are damaged headers. Of files that are large themselves, it is the user's own memory.
_BYTES_OF_MODES, _BYTES_OF_COLOURS = {"1": 2, "L": 2, "P": 4, "I;16": 4, "I;16B": 4}, 8
_BYTES_OF_FORMATS = {"JPEG2000": 24, "AVIF": 12, "WEBP": 16, "HEIF": 12, "JXL": 12}
_MEMORY = 650_000_000
_PIXELS_PER_BYTE = 8  # photographs have fewer

TRANSPARENT = "its transparent pixels are seen in the colours that they have beneath"


class Picture(NamedTuple):
    """A picture, and what there is to tell of how it is seen."""

    rgb: np.ndarray  # uint8 [height, width, 3], red-green-blue; a grey one's may not be written to
    notes: list[str]


def read_rgb(path: Path) -> np.ndarray:
    """The pixels of `read_picture`, which raises the same."""
    return read_picture(path).rgb


def read_picture(path: Path) -> Picture:
    """An image file as viewers see it.

    EXIF orientation is applied, alpha is dropped, grey is repeated, 16 bits keep their upper 8.
    What is white where numbers may be larger or are fractions, the file says or its values: see
    `depth`. Of several frames or pages the first is seen.

    Raises:
        UserError: the file cannot be read, is not a whole image, or takes too much memory.
    """
    try:
        check_regular(path)
        with open_picture(path) as image:
            _check_size(image, os.path.getsize(path))
            stored, stated = _raw_mode(image), depth.stated_maximum(image)
            pages = _tell_pages(image)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith(("I", "F")):
                grey, notes = depth.to_8_bits(image)
                return Picture(_repeated(grey), notes + pages)
            if image.mode in ("1", "L") and not image.has_transparency_data:
                return Picture(_repeated(_in_grey(image)), pages)
            picture = _in_colour(image)
            picture.notes.extend(pages)
        if stored:
            _mend_depth(path, stored, stated, picture)
        return picture
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    # Pillow answers damaged files with whatever its decoders stumble on.
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an image ({error})") from None


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file in pixels, as it is stored, without its pixels.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open_picture(path) as image:
            return image.size
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an image ({error})") from None


def _check_size(image: ImageFile.ImageFile, size: int) -> None:
    """Raises:
    ValueError: a picture of these dimensions, in a file of this size, takes too much memory.
    """
    pixels = image.width * image.height
    each = _BYTES_OF_FORMATS.get(image.format, _BYTES_OF_MODES.get(image.mode, _BYTES_OF_COLOURS))
    if pixels * each > _MEMORY and pixels > _PIXELS_PER_BYTE * size:
        raise ValueError(
            f"{image.width}x{image.height} pixels in {size} bytes; of so small a file at most "
            f"{_MEMORY // each // 10**6} million are read"
        )


def _in_grey(image: Image.Image) -> np.ndarray:
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, strip in depth.strips(image):
        grey[rows] = strip.convert("L")
    return grey


def _in_colour(image: Image.Image) -> Picture:
    rgb, opaque = np.empty((image.height, image.width, 3), np.uint8), True
    through_alpha = image.has_transparency_data
    for rows, strip in depth.strips(image):
        # Palettes and colours that stand for transparency are to be an alpha to drop.
        if through_alpha:
            strip = strip.convert("RGBA")
            opaque = opaque and strip.getchannel("A").getextrema()[0] == 255
        rgb[rows] = strip.convert("RGB")
    return Picture(rgb, [] if opaque else [TRANSPARENT])


def _repeated(grey: np.ndarray) -> np.ndarray:
    """A view of grey pixels [height, width] as red, green and blue."""
    return np.broadcast_to(grey[..., np.newaxis], (*grey.shape, 3))


def _tell_pages(image: ImageFile.ImageFile) -> list[str]:
    """A note where a file has pages or frames that are not seen."""
    count = getattr(image, "n_frames", 1) if image.format in ("TIFF", "WEBP", "AVIF") else 1
    return [f"the first of its {count} pages or frames is seen"] if count > 1 else []


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How colours of 16 bits are stored that Pillow gives the upper 8 bits of; else empty."""
    arguments = (each.args for each in image.tile if each.args)
    stored = {str(args if isinstance(args, str) else args[0]) for args in arguments}
    match = re.fullmatch(r"(RGB[AX]?);16[BLN]", "".join(stored))
    return match[0] if match else ""


def _mend_depth(path: Path, stored: str, stated: float | None, picture: Picture) -> None:
    """Change the colours of 16 bits where the values fill so few bits that all would be black, or
    where the file states a smaller largest value."""
    upper = picture.rgb
    if int(upper.max()) >= 2 ** (depth.GUESSED[-1] - 8) and (stated is None or stated >= 2**15):
        return
    # The lower bytes are the upper ones of numbers in the other order of bytes.
    other = stored[:-1] + {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}[stored[-1]]
    with open_picture(path) as image:
        image.tile = [
            each._replace(args=other if isinstance(each.args, str) else (other, *each.args[1:]))
            for each in image.tile
        ]
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        lower = _in_colour(image).rgb
    bits, notes = depth.guess_bits(depth.Values.of_bytes(upper, lower), 16, stated)
    picture.notes.extend(notes)
    np.left_shift(upper, 16 - bits, out=upper)
    np.bitwise_or(upper, lower >> (bits - 8), out=upper)
