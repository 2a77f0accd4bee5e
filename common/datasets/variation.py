"""Other versions of a frame, changed in what matters to the eye and to the codec.

A level follows from texture, contrast and noise. Of a few hundred photographs a model can learn
the pictures by heart; of varied ones, whose levels differ, it cannot.
"""

import math
from random import Random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

# Each change, in the order that optics, sensor and editing make them, and the least and greatest
# strength. Strengths lie evenly between the two as ratios, but saturation's, which may be 0.
STRENGTHS = {
    "scale": (0.5, 0.95),  # shrunk by this, and enlarged again
    "blur": (0.3, 1.5),  # standard deviation in pixels
    "gamma": (0.6, 1.6),  # exponent
    "contrast": (0.4, 1.4),  # times the difference from the mean
    "saturation": (0.0, 1.6),  # times the difference from grey
    "noise": (1.0, 10.0),  # standard deviation of each colour, of 255
    "sharpening": (0.3, 1.5),  # of an unsharp mask of 1 pixel
}


def varied(frame: Image.Image, key: str) -> tuple[Image.Image, str]:
    """An RGB frame with about half of the changes, and what they are, as "blur 0.82, noise 3.1".

    The same key gives the same frame.
    """
    random = Random(key.encode("utf-8", "surrogateescape"))
    chosen = [name for name in STRENGTHS if random.random() < 0.5] or [random.choice([*STRENGTHS])]
    changes = []
    for name in chosen:
        strength = float(f"{_strength(name, random):.3g}")
        frame = _changed(frame, name, strength, random)
        changes.append(f"{name} {strength:g}")
    return frame, ", ".join(changes)


def _strength(name: str, random: Random) -> float:
    least, greatest = STRENGTHS[name]
    if not least:
        return random.uniform(least, greatest)
    return math.exp(random.uniform(math.log(least), math.log(greatest)))


def _changed(frame: Image.Image, name: str, strength: float, random: Random) -> Image.Image:
    if name == "scale":
        smaller = frame.resize([max(1, round(side * strength)) for side in frame.size])
        return smaller.resize(frame.size)
    if name == "blur":
        return frame.filter(ImageFilter.GaussianBlur(strength))
    if name == "gamma":
        return frame.point([round(255 * (value / 255) ** strength) for value in range(256)] * 3)
    if name == "contrast":
        return ImageEnhance.Contrast(frame).enhance(strength)
    if name == "saturation":
        return ImageEnhance.Color(frame).enhance(strength)
    if name == "noise":
        # Of NumPy's generators the only one whose numbers stay the same from version to version.
        numbers = np.random.RandomState(random.getrandbits(32))
        noise = numbers.standard_normal((*frame.size[::-1], 3))
        noisy = np.rint(np.asarray(frame) + strength * noise)
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    return frame.filter(ImageFilter.UnsharpMask(1, round(100 * strength), 0))
