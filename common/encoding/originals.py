"""Pictures as they are encoded: pixels as viewers see them, transparency, colours and metadata."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from ..data.kinds import open_picture
from ..data.pictures import TRANSPARENT, XMP, read_picture, turn_upright

_GREY_MODES = ("1", "L", "LA", "I", "F")
# EXIF's tags in the first directory of a TIFF; the others of it describe how pixels are stored.
_DESCRIPTIVE_TAGS = (
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.Copyright,
)
_IPTC = 0x0404  # the resource of Photoshop that holds it
_IPTC_TAGS = (33723, 34377)  # of TIFF: its own, and Photoshop's
_LEAST_DPI, _MOST_DPI = 2, 65535
_EXIF_HEAD = b"Exif\0\0"
# Bytes of an ICC profile that state its colour space, and those that are "acsp" in every profile.
_SPACE, _MARK = slice(16, 20), slice(36, 40)
_SPACES = {True: b"GRAY", False: b"RGB "}  # by whether the picture is grey


class Original(NamedTuple):
    """A picture to encode."""

    rgb: np.ndarray  # uint8 [height, width, 3]; transparent pixels in their stored colours
    alpha: np.ndarray | None  # uint8 [height, width], 255 is opaque; None: all of it is
    grey: bool  # whether the file holds grey values only
    icc_profile: bytes  # of the pixels; empty: none, so sRGB
    exif: bytes  # without orientation, which the pixels have; empty: none
    xmp: bytes  # the same
    jpeg_options: dict[str, Any]  # Pillow's `dpi` and `comment`, if the file has them
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
        had_exif = "exif" in image.info
        turn_upright(image)
        alpha, has_iptc = _read_alpha(image), _has_iptc(image)
        grey = image.mode.partition(";")[0] in _GREY_MODES
        # Phones' MPO is a JPEG with further pictures behind it, which are not read.
        info, form = dict(image.info), str(image.format).replace("MPO", "JPEG")
        exif, lost = info.get("exif") or b"", ""
        if form == "TIFF":
            exif, lost = _copy_tiff_exif(image)
    profile = info.get("icc_profile") or b""
    grey = grey and profile[_SPACE] in (b"", _SPACES[True])
    notes = [note for note in picture.notes if note != TRANSPARENT]
    if profile and profile[_MARK] != b"acsp":
        notes.append("its colour profile is damaged, and left out")
        profile = b""
    elif profile and profile[_SPACE] != _SPACES[grey]:
        space = profile[_SPACE].decode("ascii", "replace").strip()
        notes.append(f"its {space} colours are converted to sRGB without its profile")
        profile = b""
    if had_exif and "exif" not in info:
        lost = "its EXIF and XMP are left out, since EXIF is damaged"
    notes += [lost] if lost else []
    if has_iptc:
        notes.append("its IPTC metadata is left out")
    xmp = next((info[name] for name in XMP if info.get(name)), b"")
    return Original(
        rgb=picture.rgb,
        alpha=alpha,
        grey=grey,
        icc_profile=profile,
        exif=_EXIF_HEAD + exif.removeprefix(_EXIF_HEAD) if exif else b"",
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        jpeg_options=_select_jpeg_options(info, form),
        format=form,
        notes=notes,
    )


def _copy_tiff_exif(image: Image.Image) -> tuple[bytes, str]:
    """Copy EXIF from a TIFF, in which it lies among the tags that describe how pixels are stored.

    Returns:
        EXIF, empty if there is none; a note if a part is damaged and left out.
    """
    found, copied, lost = image.getexif(), Image.Exif(), ""
    for tag in (*_DESCRIPTIVE_TAGS, IFD.Exif, IFD.GPSInfo):
        try:
            is_part = tag in (IFD.Exif, IFD.GPSInfo)
            value = dict(found.get_ifd(tag)) if is_part else found.get(tag)
            if value:
                copied[tag] = value
                copied.tobytes()
        except Exception:  # of any type, from Pillow
            lost = "a damaged part of its EXIF is left out"
            copied.pop(tag, None)
    return copied.tobytes() if len(copied) else b"", lost


def _has_iptc(image: Image.Image) -> bool:
    """Check for IPTC metadata: in a TIFF's tags, or in Photoshop's part of a JPEG."""
    if image.format == "TIFF":
        return any(tag in image.getexif() for tag in _IPTC_TAGS)
    return _IPTC in image.info.get("photoshop", ())


def _select_jpeg_options(info: dict[Any, Any], form: str) -> dict[str, Any]:
    """Select the resolution and the comment that a JPEG can hold, as Pillow's options."""
    options, dpi, comment = {}, info.get("dpi"), info.get("comment")
    # Pillow gives 1 for a TIFF without a resolution, and text for some PNGs.
    if isinstance(dpi, tuple) and all(_LEAST_DPI <= each <= _MOST_DPI for each in dpi):
        options["dpi"] = dpi
    if form == "JPEG" and comment:
        options["comment"] = comment
    return options


def _read_alpha(image: Image.Image) -> np.ndarray | None:
    """Read the alpha channel; None if all pixels are opaque."""
    if not image.has_transparency_data:
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha
