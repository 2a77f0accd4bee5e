"""The formats that `encode` writes pictures in: JPEG, WebP and AVIF, all through Pillow."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, features

from ..base.errors import UserError
from .originals import Original, compose

# The first of a format's is its default.
SUBSAMPLINGS = ("4:2:0", "4:4:4")
# Bytes of metadata in a JPEG file: a segment has 65,533, of which XMP's namespace takes 29.
_LONGEST = 65504


class PictureFormat(NamedTuple):
    """A format with a quality from 1 to 100."""

    name: str  # Pillow's
    subsamplings: tuple[str, ...]  # of the chroma
    has_alpha: bool
    options: Mapping[str, Any]  # of Pillow's encoder
    qualities: range
    usual: int  # the quality of most pictures at JND1
    per_level: float  # how many steps of quality a step of JPEG's quality corresponds to

    def convert(self, level: float | None) -> float:
        """Convert a JPEG quality to about the same VMAF in this format; None: the usual one."""
        return self.usual + (0 if level is None else (level - JPEG.usual) * self.per_level)


# Progressive files with their own Huffman codes have the pixels of plain ones in fewer bytes.
JPEG = PictureFormat(
    "JPEG", SUBSAMPLINGS, False, {"optimize": True, "progressive": True}, range(10, 101), 31, 1
)
_WEBP = PictureFormat("WEBP", SUBSAMPLINGS[:1], True, {"method": 4}, range(1, 101), 40, 1)
_AVIF = PictureFormat("AVIF", SUBSAMPLINGS, True, {"speed": 6}, range(1, 101), 45, 0.6)
FORMATS = {".jpg": JPEG, ".jpeg": JPEG, ".webp": _WEBP, ".avif": _AVIF}  # by suffix


def find_format(path: Path) -> PictureFormat:
    """Find the format of a file to write by its suffix.

    Raises:
        UserError: encode does not write it, or Pillow has no encoder for it.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UserError(f"{path}: pictures are written as {', '.join(FORMATS)}; name such a file")
    if form != JPEG and not features.check(form.name.lower()):
        raise UserError(f"{path}: this Pillow was built without {form.name}: choose another format")
    return form


def list_losses(original: Original, form: PictureFormat) -> list[str]:
    """Make notes on what of a picture a format cannot hold."""
    notes = []
    if original.alpha is not None and not form.has_alpha:
        notes.append("its transparent pixels are shown on white")
    for name, data in (("EXIF", original.exif), ("XMP", original.xmp)):
        if form == JPEG and len(data) > _LONGEST:
            notes.append(f"its {name} metadata is left out: it is too long for JPEG")
    return notes


def encode_picture(
    original: Original, form: PictureFormat, quality: int, subsampling: str
) -> bytes:
    """Encode a picture with its colour profile, EXIF and XMP as a file in memory.

    JPEG keeps grey pictures grey; the other formats store colours only.
    """
    options: dict[str, Any] = {**form.options, "quality": quality}
    metadata = {"exif": original.exif, "xmp": original.xmp}
    if form == JPEG:
        metadata = {name: data for name, data in metadata.items() if len(data) <= _LONGEST}
    if form.has_alpha and original.alpha is not None:
        image = Image.fromarray(np.dstack([original.rgb, original.alpha]))
    else:
        image = Image.fromarray(np.ascontiguousarray(original.on_white()))
    if original.grey and form == JPEG:
        image = image.getchannel("R")
    elif len(form.subsamplings) > 1:
        options["subsampling"] = subsampling
    if image.mode == "L" or not original.grey:  # the profile of a grey picture is one of grey
        metadata["icc_profile"] = original.icc_profile
    file = io.BytesIO()
    image.save(
        file, form.name, **options, **{name: data for name, data in metadata.items() if data}
    )
    return file.getvalue()


def decode_picture(data: bytes) -> np.ndarray:
    """Decode a file of `encode_picture` as viewers see it on white: uint8 [height, width, 3]."""
    image = Image.open(io.BytesIO(data))
    if image.mode != "RGBA":
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image)
    return compose(rgba[..., :3], rgba[..., 3])
