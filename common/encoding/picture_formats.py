"""The formats that `encode` writes pictures in: JPEG, WebP and AVIF."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..base.errors import UserError

# The first of a format's is its default.
SUBSAMPLINGS = ("4:2:0", "4:4:4")


class PictureFormat(NamedTuple):
    """A format with a quality from 1 to 100."""

    name: str  # Pillow's
    longest_side: int  # pixels
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
    name="JPEG", longest_side=65500, subsamplings=SUBSAMPLINGS, has_alpha=False,
    options={"optimize": True, "progressive": True},
    qualities=range(10, 101), usual=31, per_level=1,
)  # fmt: skip
_WEBP = PictureFormat(
    name="WEBP", longest_side=16383, subsamplings=SUBSAMPLINGS[:1], has_alpha=True,
    options={"method": 4}, qualities=range(1, 101), usual=40, per_level=1,
)  # fmt: skip
_AVIF = PictureFormat(  # the longest side is the default limit of AVIF's decoder
    name="AVIF", longest_side=32768, subsamplings=SUBSAMPLINGS, has_alpha=True,
    options={"speed": 6}, qualities=range(1, 101), usual=45, per_level=0.6,
)  # fmt: skip
FORMATS = {".jpg": JPEG, ".jpeg": JPEG, ".webp": _WEBP, ".avif": _AVIF}  # by suffix


def find_format(path: Path) -> PictureFormat:
    """Find the format of a file to write by its suffix.

    Raises:
        UserError: encode does not write it.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UserError(f"{path}: pictures are written as {', '.join(FORMATS)}; name such a file")
    return form
