"""The video encoders, each a row of `ENCODERS`; importing them needs only the standard library.

All run at a constant QP because levels are QPs. Each scene is a stream with the same headers, since
zones of one x264 stream would not do: with `-qp`, x264 keeps them within 3 of the stream's QP, and
with `-crf` the intra frame after a cut gets the QP of the frames before it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_NUMBER = r"\(([\d.]+)[, ]+([\d.]+)\)"
_PRIMARIES = {name: re.compile(rf"\b{name}{_NUMBER}") for name in ("g", "b", "r", "wp")}


class Mastering(NamedTuple):
    """Mastering display (SMPTE ST 2086) and content light level of an HDR video."""

    primaries: Sequence[tuple[float, float]]  # of green, blue, red and white: CIE x and y
    luminance: tuple[float, float]  # maximum and minimum, cd/m2
    light: tuple[int, int] | None  # MaxCLL and MaxFALL, cd/m2


class Encoder(NamedTuple):
    """An encoder of ffmpeg."""

    library: str  # ffmpeg's name of the encoder
    codec: str  # ffmpeg's name of the format
    coarsest: int  # QP; the finest is 1, since 0 is a lossless mode
    steps: float  # QP steps that change quality about as much as one step of H.264
    # Makes ffmpeg's options from QP, bit depth of the coded video and mastering metadata.
    options: Callable[[int, int, Mastering | None], dict[str, Any]]

    def first_qp(self, level: float) -> float:
        """Convert an H.264 QP to the QP to try first."""
        return level * self.steps

    def arguments(self, qp: int, depth: int, mastering: Mastering | None) -> list[object]:
        """Make ffmpeg's arguments that encode at a QP; `depth` is in bits per value."""
        options = self.options(qp, depth, mastering).items()
        given = [word for name, value in options for word in (f"-{name}", value)]
        return ["-c:v", self.library, *given]


def find_mastering(side_data: Sequence[str]) -> Mastering | None:
    """Parse mastering metadata from ffmpeg's description of side data; None if there is none."""
    text = " ".join(side_data)
    found = [pattern.search(text) for pattern in _PRIMARIES.values()]
    luminance = re.search(r"min_luminance=([\d.]+), max_luminance=([\d.]+)", text)
    if not luminance or not all(found):
        return None
    light = re.search(r"MaxCLL=(\d+), MaxFALL=(\d+)", text)
    return Mastering(
        primaries=[(float(each[1]), float(each[2])) for each in found if each],
        luminance=(float(luminance[2]), float(luminance[1])),
        light=(int(light[1]), int(light[2])) if light else None,
    )


def _display(mastering: Mastering, per_unit: int = 1, per_candela: int = 1) -> str:
    """Format the display as G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min), in fractions of the units."""

    def pair(values: tuple[float, float], parts: int) -> str:
        scaled = [value * parts for value in values]
        return ",".join(f"{each:g}" if parts == 1 else str(round(each)) for each in scaled)

    of_each = zip(("G", "B", "R", "WP"), mastering.primaries)
    colours = "".join(f"{name}({pair(values, per_unit)})" for name, values in of_each)
    return f"{colours}L({pair(mastering.luminance, per_candela)})"


def _params(first: str, mastering: Mastering | None, names: tuple[str, str], parts: tuple) -> str:
    """Make an encoder's private parameters, with its `names` for display and light level."""
    words = [first]
    if mastering:
        words.append(f"{names[0]}={_display(mastering, *parts)}")
        if mastering.light:
            words.append(f"{names[1]}={','.join(map(str, mastering.light))}")
    return ":".join(words)


_IN_PARTS = 50_000, 10_000  # the standard's units are 1/50,000 of CIE x and y, and 1/10,000 cd/m2


def _x264(qp: int, depth: int, mastering: Mastering | None) -> dict[str, Any]:
    # x264 counts QPs from the finest one of the bit depth: 12 in 10 bits is 0 in 8.
    params = _params("stitchable=1", mastering, ("mastering-display", "cll"), _IN_PARTS)
    return {"preset": "medium", "qp": qp + 6 * (depth - 8), "x264-params": params}


def _x265(qp: int, _: int, mastering: Mastering | None) -> dict[str, Any]:
    first = f"qp={qp}:log-level=error"
    params = _params(first, mastering, ("master-display", "max-cll"), _IN_PARTS)
    return {"preset": "medium", "x265-params": params}


def _svtav1(qp: int, _: int, mastering: Mastering | None) -> dict[str, Any]:
    # Temporal filtering in the encoder would change the picture regardless of the QP.
    first = "rc=0:enable-tf=0:aq-mode=0"
    params = _params(first, mastering, ("mastering-display", "content-light"), (1, 1))
    return {"preset": 8, "qp": qp, "svtav1-params": params}


ENCODERS = {
    "x264": Encoder(library="libx264", codec="h264", coarsest=51, steps=1, options=_x264),
    "x265": Encoder(library="libx265", codec="hevc", coarsest=51, steps=1, options=_x265),
    "svtav1": Encoder(library="libsvtav1", codec="av1", coarsest=63, steps=1.3, options=_svtav1),
}
