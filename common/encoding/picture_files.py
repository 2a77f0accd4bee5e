"""Files of pictures in memory: encoded and decoded through Pillow."""

import io
from typing import Any

import numpy as np
from PIL import Image, features

from ..data.kinds import open_picture
from .originals import Original, compose
from .picture_formats import JPEG, PictureFormat

# Bytes of metadata in a JPEG file: a segment has 65,533, of which XMP's namespace takes 29.
_LONGEST = 65504


def is_available(form: PictureFormat) -> bool:
    """Check whether Pillow was built with the encoder of a format."""
    return form == JPEG or bool(features.check(form.name.lower()))


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
        options |= original.jpeg_options
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
    with open_picture(io.BytesIO(data)) as image:
        if image.mode != "RGBA":
            return np.asarray(image.convert("RGB"))
        rgba = np.asarray(image)
    return compose(rgba[..., :3], rgba[..., 3])
