"""Properties of pixel formats, as listed by ffmpeg."""

import functools
import re
from typing import NamedTuple

from .ffmpeg import run

# Filters that clear colour tags. ffmpeg converts no frames with some of them (logarithmic transfer
# functions, rare matrices), even where the conversion has no use for them. Only a conversion
# between YUV and RGB needs the matrix.
UNTAG = "setparams=color_primaries=unknown:color_trc=unknown"
UNTAG_ALL = f"{UNTAG}:colorspace=unknown"
# Names of RGB formats, which ffmpeg's table does not mark; palettes hold RGB.
_RGB = re.compile(r"x2rgb|x2bgr|[0ax]?rgb|[0ax]?bgr|gbr|pal8|bayer|xyz")
# Chroma subsampling by bits per pixel / bits per value, without alpha.
_CHROMA = {1.0: "gray", 1.125: "420", 1.5: "420", 2.0: "422", 3.0: "444"}


class PixelFormat(NamedTuple):
    """Properties of a pixel format."""

    name: str
    depth: int  # bits per value
    chroma: str  # "420", "422", "444" or "gray"; "444" for RGB
    rgb: bool
    alpha: bool


@functools.cache
def describe(name: str) -> PixelFormat:
    """Look up a pixel format in ffmpeg's table; an unknown one is assumed to be 8-bit 4:2:0."""
    row = _table().get(name)
    if row is None:
        return PixelFormat(name, 8, "420", False, False)
    components, bits_per_pixel, depth = row
    # Palettes may hold transparent colours.
    alpha, rgb = components in (2, 4) or name == "pal8", bool(_RGB.match(name))
    if components == 1 and not rgb:
        return PixelFormat(name, depth, "gray", False, False)
    ratio = bits_per_pixel / depth - (1 if alpha else 0)
    chroma = "444" if rgb or "440" in name else "422" if "411" in name else _CHROMA.get(ratio)
    return PixelFormat(name, depth, chroma or "420", rgb, alpha)


@functools.cache
def _table() -> dict[str, tuple[int, int, int]]:
    """List components, bits per pixel and maximum bits per value of each pixel format."""
    listed = run(["-pix_fmts"]).decode()
    rows = re.findall(r"^[IOHPB.]{5} (\S+) +(\d) +(\d+) +([\d-]+)$", listed, re.M)
    return {
        name: (int(components), int(bits), max(map(int, depths.split("-"))))
        for name, components, bits, depths in rows
    }


@functools.cache
def list_supported(library: str) -> tuple[str, ...]:
    """List the pixel formats that an encoder of ffmpeg accepts."""
    text = run(["-h", f"encoder={library}"]).decode()
    listed = re.search(r"Supported pixel formats: (.*)", text)
    return tuple(listed[1].split()) if listed else ("yuv420p",)


def choose_coded(name: str, library: str) -> PixelFormat:
    """Choose the pixel format in which an encoder encodes pictures of the format `name`.

    Depth and chroma subsampling are kept if the encoder supports them; RGB and grey become 4:2:0,
    which every player supports.
    """
    has = describe(name)
    chroma = "420" if has.rgb or has.chroma == "gray" else has.chroma
    depths = [depth for depth in (12, 10, 8) if depth <= has.depth] or [8]
    if has.depth == 9:
        depths = [10, 8]  # 10 is lossless
    takes = list_supported(library)
    for depth in depths:
        for subsampling in dict.fromkeys((chroma, "420")):
            wanted = f"yuv{subsampling}p{f'{depth}le' if depth > 8 else ''}"
            if wanted in takes:
                return describe(wanted)
    return describe("yuv420p")
