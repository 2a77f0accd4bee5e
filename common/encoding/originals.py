"""Pictures as they are encoded: pixels as viewers see them, transparency, colours and metadata."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ..data.kinds import open_picture
from ..data.pictures import TRANSPARENT, read_picture

_GREY_MODES = ("1", "L", "LA", "I", "F")
_EXIF_HEAD = b"Exif\0\0"
# The colour space is stated in these bytes of an ICC profile.
_SPACE = slice(16, 20)
_SPACES = {True: b"GRAY", False: b"RGB "}  # by whether the picture is grey


class Original(NamedTuple):
    """A picture to encode."""

    rgb: np.ndarray  # uint8 [height, width, 3]; transparent pixels in their stored colours
    alpha: np.ndarray | None  # uint8 [height, width], 255 is opaque; None: all of it is
    grey: bool  # whether the file holds grey values only
    icc_profile: bytes  # of the pixels; empty: none, so sRGB
    exif: bytes  # without orientation, which the pixels have; empty: none
    xmp: bytes  # the same
    format: str  # Pillow's name of the file's format
    notes: list[str]  # on how it was read, and on what is lost

    def on_white(self) -> np.ndarray:
        """Return the pixels as they look on white: uint8 [height, width, 3]."""
        return self.rgb if self.alpha is None else compose(self.rgb, self.alpha)


def compose(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay pixels, uint8 [height, width, 3], with their alpha, uint8 [height, width], on white."""
    opaque = alpha[..., np.newaxis].astype(np.uint16)
    return ((rgb * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)


def read_original(path: Path) -> Original:
    """Read a picture with its transparency, its colour profile and its metadata.

    Raises:
        UserError: the file cannot be read, as `read_picture` says.
    """
    picture = read_picture(path)
    with open_picture(path) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # also removes the tag from EXIF and XMP
        alpha = _read_alpha(image)
        grey = image.mode.partition(";")[0] in _GREY_MODES
        info, form = dict(image.info), str(image.format)
    profile = info.get("icc_profile") or b""
    grey = grey and profile[_SPACE] in (b"", _SPACES[True])
    notes = [note for note in picture.notes if note != TRANSPARENT]
    if profile and profile[_SPACE] != _SPACES[grey]:
        space = profile[_SPACE].decode("ascii", "replace").strip()
        notes.append(f"its {space} colours are converted to sRGB without its profile")
        profile = b""
    exif = info.get("exif") or b""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return Original(
        rgb=picture.rgb,
        alpha=alpha,
        grey=grey,
        icc_profile=profile,
        exif=_EXIF_HEAD + exif.removeprefix(_EXIF_HEAD) if exif else b"",
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        format=form,
        notes=notes,
    )


def _read_alpha(image: Image.Image) -> np.ndarray | None:
    """Read the alpha channel; None if all pixels are opaque."""
    if not image.has_transparency_data:
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha
