"""Augmented copies of frames: changed in texture, contrast, colour and noise.

A level depends on texture, contrast and noise. A model can memorise a few hundred photographs, but
not their augmented copies, whose levels differ.
"""

import math
from random import Random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

# The least and greatest strength of each change, in the order in which optics, sensor and editing
# make them. Strengths are drawn log-uniformly; that of saturation, which may be 0, uniformly.
STRENGTHS = {
    "scale": (0.5, 0.95),  # factor of the reduction, which is followed by enlargement
    "blur": (0.3, 1.5),  # standard deviation in pixels
    "gamma": (0.6, 1.6),  # exponent
    "contrast": (0.4, 1.4),  # factor of the difference from the mean
    "saturation": (0.0, 1.6),  # factor of the difference from grey
    "noise": (1.0, 10.0),  # standard deviation per colour channel, 0 to 255
    "sharpening": (0.3, 1.5),  # strength of an unsharp mask of 1 pixel
}


def augment(frame: Image.Image, key: str) -> tuple[Image.Image, str]:
    """Apply about half of the changes to an RGB frame; also list them: "blur 0.82, noise 3.1".

    The result depends only on the frame and the key.
    """
    random = Random(key.encode("utf-8", "surrogateescape"))
    chosen = [name for name in STRENGTHS if random.random() < 0.5] or [random.choice([*STRENGTHS])]
    changes = []
    for name in chosen:
        strength = float(f"{_draw_strength(name, random):.3g}")
        frame = change(frame, name, strength, random)
        changes.append(f"{name} {strength:g}")
    return frame, ", ".join(changes)


def _draw_strength(name: str, random: Random) -> float:
    least, greatest = STRENGTHS[name]
    if not least:
        return random.uniform(least, greatest)
    return math.exp(random.uniform(math.log(least), math.log(greatest)))


def change(frame: Image.Image, name: str, strength: float, random: Random) -> Image.Image:
    """Apply the change `name` of `STRENGTHS` to an RGB frame."""
    match name:
        case "scale":
            smaller = frame.resize([max(1, round(side * strength)) for side in frame.size])
            return smaller.resize(frame.size)
        case "blur":
            return frame.filter(ImageFilter.GaussianBlur(strength))
        case "gamma":
            curve = [round(255 * (value / 255) ** strength) for value in range(256)]
            return frame.point(curve * 3)
        case "contrast":
            return ImageEnhance.Contrast(frame).enhance(strength)
        case "saturation":
            return ImageEnhance.Color(frame).enhance(strength)
        case "noise":
            # The only generator of NumPy that gives the same numbers in every version.
            numbers = np.random.RandomState(random.getrandbits(32))
            noise = numbers.standard_normal((*frame.size[::-1], 3))
            noisy = np.rint(np.asarray(frame) + strength * noise)
            return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        case "sharpening":
            return frame.filter(ImageFilter.UnsharpMask(1, round(100 * strength), 0))
        case _:
            raise ValueError(f"{name} is not a change")
