"""Detection of the kind of a file: a picture, a video or a bitstream file."""

import contextlib
import functools
import importlib
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from ..codec import bitstream

PICTURE, VIDEO, BITSTREAM = "picture", "video", "bitstream file"
Kind = str | None  # one of these, or None

# Formats that Pillow decodes itself. EPS and WMF would start other programs; BUFR, GRIB and HDF5
# are stubs. Pillow's TGA reader accepts almost any file, so TGA is recognised by name only.
_FORMATS = (
    "PNG", "JPEG", "MPO", "TIFF", "WEBP", "GIF", "AVIF", "BMP", "DIB", "HEIF", "JXL", "JPEG2000",
    "PPM", "PSD", "QOI", "SGI", "SUN", "PCX", "DDS", "ICO", "ICNS",
)  # fmt: skip
_PLAYED = {"GIF", "PNG"}  # formats that count as videos if they have several frames

# Kinds by suffix, for files whose first bytes say nothing because they are damaged or unreadable.
# .ts is missing: most such files are TypeScript, and transport streams have signatures.
_PICTURES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".gif", ".avif", ".jp2", ".tga", ".qoi",
}  # fmt: skip
_WITH_PLUGINS = {".heic": "HEIF", ".heif": "HEIF", ".jxl": "JXL"}
_VIDEOS = {
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".divx", ".mpg",
    ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".mts", ".m2ts", ".m2t", ".wmv", ".asf", ".flv",
    ".ogv", ".ogm", ".264", ".h264", ".avc", ".265", ".h265", ".hevc", ".ivf", ".obu", ".y4m",
    ".mxf", ".dv", ".rm", ".rmvb", ".nut", ".mjpg", ".mjpeg",
}  # fmt: skip
# Camera raw files that begin like a TIFF, of which Pillow would read only a small preview.
_RAW = {
    ".dng", ".nef", ".nrw", ".cr2", ".arw", ".sr2", ".srf", ".srw", ".pef", ".iiq", ".3fr", ".dcr",
    ".kdc", ".erf", ".mef", ".mos", ".gpr",
}  # fmt: skip

_HEAD = 4096  # bytes examined
_STILL_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ")
_VIDEO_MARKS = re.compile(
    rb"\x1a\x45\xdf\xa3"  # Matroska and WebM
    rb"|RIFF....AVI "
    rb"|(?:....(?:moov|mdat)|\0...(?:wide|free|skip|pnot))"  # QuickTime before it had `ftyp`
    rb"|FLV\x01|\.RMF|DKIF|YUV4MPEG2 |nut/multimedia container\0"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11"  # ASF: Windows Media
    rb"|\x06\x0e\x2b\x34\x02\x05\x01\x01"  # MXF
    rb"|\0\0\x01[\xba\xb3\xb0]"  # MPEG program and elementary streams
    rb"|\0?\0\0\x01[\x67\x27\x47\x06\x09\x40\x42\x44\x46\x4e]",  # H.264 and HEVC streams
    re.DOTALL,
)
_OGG_VIDEO = (b"\x80theora", b"BBCD\0", b"OVP80")


def kind(path: Path) -> Kind:
    """Detect what a file is from its first bytes or, if these say nothing, from its name.

    PICTURE: whatever Pillow reads, except camera raw files. VIDEO: a container or stream that
    ffmpeg reads, or a GIF or PNG of several frames. BITSTREAM: judged by the name alone. None:
    anything else, or not a regular file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if bitstream.is_bitstream(path):
        return BITSTREAM
    with contextlib.suppress(OSError):  # an unreadable file may still have a telling name
        if suffix in _RAW or (path.exists() and not path.is_file()):
            return None
    # On damaged files, Pillow raises exceptions of any type.
    with contextlib.suppress(Exception), open_picture(path) as image:
        moving = image.format in _PLAYED and getattr(image, "is_animated", False)
        return VIDEO if moving or suffix in (".mjpg", ".mjpeg") else PICTURE
    with contextlib.suppress(OSError):
        with path.open("rb") as file:
            found = _detect_by_signature(file.read(_HEAD))
        if found:
            return found
    if suffix in _PICTURES or _WITH_PLUGINS.get(suffix) in _formats():
        return PICTURE
    return VIDEO if suffix in _VIDEOS else None


@contextlib.contextmanager
def open_picture(file: Path | IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    """Open an image file with Pillow, in one of the formats that count as pictures.

    Raises:
        Exception: of any type, if the file is not such a picture.
    """
    is_tga = isinstance(file, Path) and file.suffix.lower() == ".tga"
    by_name = ["TGA"] if is_tga else []
    with _PILLOW, Image.open(file, formats=_formats() + by_name) as image:
        yield image


class _PillowSettings:
    """Pillow's settings while any of our threads reads a picture; they are restored afterwards.

    Pillow's size limit, meant for web servers, is lifted: a dataset may hold gigapixel pictures.
    Its warnings are ignored: they concern damaged files that it can still read.
    """

    def __init__(self) -> None:
        self._lock, self._readers, self._before = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._before.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._before.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._before.close()


_PILLOW = _PillowSettings()


@functools.lru_cache(1)
def _formats() -> list[str]:
    """List the picture formats that Pillow can read here, including those of plugins."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_jxl")
    Image.init()
    return [each for each in _FORMATS if each in Image.OPEN]


def _detect_by_signature(head: bytes) -> Kind:
    """Detect the kind of a file that Pillow does not read, from its first bytes."""
    if head[4:8] == b"ftyp":
        return None if head[8:12] in (*_STILL_BRANDS, *_SOUND_BRANDS) else VIDEO
    if head.startswith(b"OggS"):
        return VIDEO if any(mark in head for mark in _OGG_VIDEO) else None
    return VIDEO if _VIDEO_MARKS.match(head) or _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Check for the sync bytes of MPEG transport stream packets, starting at any offset."""
    for length in (188, 192, 204):
        for start in range(min(length, len(head))):
            marks = head[start::length]
            if head[start] == 0x47 and len(marks) > 4 and not marks.strip(b"\x47"):
                return True
    return False
