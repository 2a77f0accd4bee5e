"""The video encoders, each a row of `ENCODERS`; importing them needs only the standard library.

Each scene is a stream with the same headers, at a constant CRF or QP of its own, since zones of one
x264 stream would not do: with `-qp`, x264 keeps them within 3 of the stream's QP, and with `-crf`
the intra frame after a cut gets the QP of the frames before it.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

RATE_CONTROLS = CRF, CONSTANT_QP = "crf", "qp"
# What is compared with the target VMAF: the mean of a scene's frames, or their 5th percentile.
AIMS = MEAN, P5 = "mean", "p5"
_NUMBER = r"\(([\d.]+)[, ]+([\d.]+)\)"
_PRIMARIES = {name: re.compile(rf"\b{name}{_NUMBER}") for name in ("g", "b", "r", "wp")}


class Mastering(NamedTuple):
    """Mastering display (SMPTE ST 2086) and content light level of an HDR video."""

    primaries: Sequence[tuple[float, float]]  # of green, blue, red and white: CIE x and y
    luminance: tuple[float, float]  # maximum and minimum, cd/m2
    light: tuple[int, int] | None  # MaxCLL and MaxFALL, cd/m2


class Setting(NamedTuple):
    """One encode's setting."""

    rate_control: str  # one of RATE_CONTROLS
    quantizer: float  # the value of CRF or QP
    preset: str
    adaptive: bool  # whether quantization adapts to the parts of a picture
    depth: int  # bits per value of the coded video
    mastering: Mastering | None


class Encoder(NamedTuple):
    """An encoder of ffmpeg."""

    library: str  # ffmpeg's name of the encoder
    codec: str  # ffmpeg's name of the format
    coarsest: int  # CRF and QP; the finest is 1, since 0 is a lossless mode
    steps: float  # steps that change quality about as much as one QP of H.264
    crf_step: float  # the smallest change of a CRF
    crf_shift: float  # usual CRF of a level, less its QP
    trial_loss: float  # usual log(100 - VMAF) of a trial, less that of the whole scene
    preset: str  # unless the user names another
    options: Callable[[Setting], dict[str, Any]]  # makes ffmpeg's options


class Coding(NamedTuple):
    """How the scenes of a video are encoded: what they share."""

    encoder: Encoder
    rate_control: str = CRF
    preset: str = ""  # empty: the encoder's in `ENCODERS`
    adaptive: bool = False
    finest: int = 1  # CRF or QP that a scene may get
    coarsest: int | None = None  # None: the encoder's

    @property
    def step(self) -> float:
        """The smallest change of the CRF or QP."""
        return self.encoder.crf_step if self.rate_control == CRF else 1

    def fit(self, quantizer: float) -> float:
        """Round a CRF or QP to one that the encoder takes and the user allows; halves go up."""
        rounded = math.floor(quantizer / self.step + 0.5) * self.step
        coarsest = self.encoder.coarsest if self.coarsest is None else self.coarsest
        return round(min(max(rounded, self.finest), coarsest), 2)

    def predict(self, level: float) -> float:
        """Predict the CRF or QP of a level, an H.264 QP."""
        shift = self.encoder.crf_shift if self.rate_control == CRF else 0
        return self.fit(level * self.encoder.steps + shift)

    def arguments(self, quantizer: float, depth: int, mastering: Mastering | None) -> list[object]:
        """Make ffmpeg's arguments that encode at a CRF or QP; `depth` is in bits per value."""
        preset = self.preset or self.encoder.preset
        setting = Setting(self.rate_control, quantizer, preset, self.adaptive, depth, mastering)
        options = self.encoder.options(setting).items()
        given = [word for name, value in options for word in (f"-{name}", value)]
        return ["-c:v", self.encoder.library, *given]


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


def _x264(setting: Setting) -> dict[str, Any]:
    params = _params("stitchable=1", setting.mastering, ("mastering-display", "cll"), _IN_PARTS)
    options = {"preset": setting.preset, "x264-params": params}
    if setting.rate_control == CRF:
        return {**options, "crf": setting.quantizer, "aq-mode": int(setting.adaptive)}
    # x264 counts QPs from the finest one of the bit depth: 12 in 10 bits is 0 in 8.
    return {**options, "qp": int(setting.quantizer) + 6 * (setting.depth - 8)}


def _x265(setting: Setting) -> dict[str, Any]:
    first = f"{setting.rate_control}={setting.quantizer:g}:log-level=error"
    if setting.rate_control == CRF and not setting.adaptive:
        first += ":aq-mode=0"
    params = _params(first, setting.mastering, ("master-display", "max-cll"), _IN_PARTS)
    return {"preset": setting.preset, "x265-params": params}


def _svtav1(setting: Setting) -> dict[str, Any]:
    # At a constant QP, temporal filtering would change the picture regardless of the QP.
    first = "rc=0:enable-tf=0:aq-mode=0"
    if setting.rate_control == CRF:
        first = f"enable-variance-boost={int(setting.adaptive)}"
    params = _params(first, setting.mastering, ("mastering-display", "content-light"), (1, 1))
    quantizer = {setting.rate_control: int(setting.quantizer)}
    return {"preset": setting.preset, **quantizer, "svtav1-params": params}


ENCODERS = {
    "x264": Encoder(
        library="libx264", codec="h264", coarsest=51, steps=1, crf_step=0.1, crf_shift=1.5,
        trial_loss=0.06, preset="medium", options=_x264,
    ),
    "x265": Encoder(
        library="libx265", codec="hevc", coarsest=51, steps=1, crf_step=0.1, crf_shift=-1,
        trial_loss=0, preset="medium", options=_x265,
    ),
    "svtav1": Encoder(
        library="libsvtav1", codec="av1", coarsest=63, steps=1.3, crf_step=1, crf_shift=8,
        trial_loss=0.05, preset="8", options=_svtav1,
    ),
}  # fmt: skip
# The coding whose QPs are the levels.
OF_LEVELS = Coding(ENCODERS["x264"], CONSTANT_QP)
