"""Bit depth: the white level of pictures with floating-point values or values above 255.

Many files do not state it, such as 12-bit camera data stored in 16 bits, or arrays saved unscaled.
It is then guessed from the values by these rules:

- Floats up to 1 are scaled from the range 0 to 1. If fewer than 1 % of them exceed 1, those are
  highlights or overshoot, and are clipped.
- Integers, and floats above 1, get the smallest depth of 8, 10, 12, 16, 24 and 32 bits that holds
  them. 14 bits are never guessed, since a dark 16-bit picture looks the same. If all values are
  multiples of 256 or 257, the depth is 16: they are a dark 8-bit picture saved with 16 bits.
- A depth stated in the file takes precedence over all these rules: PGMs state it, and TIFFs may
  (BitsPerSample, MaxSampleValue, SMaxSampleValue).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

GUESSED = (8, 10, 12)  # depths guessed for data stored in 16 or 32 bits
_STATED = (8, 10, 12, 14, 15, 16, 31, 32)
_FEW = 0.01  # fraction of the values that may be clipped
_OVERSHOOT = 1.25  # factor by which a sharpened picture may exceed white
_STRIP = 2**22  # pixels examined or converted at a time
# TIFF tags.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAXIMUM, _SAMPLE_FORMAT, _S_MAXIMUM = 258, 262, 281, 339, 341
_SIGNED = 2  # value of the SampleFormat tag


class Values(NamedTuple):
    """Statistics of all values of a picture."""

    maximum: float
    negative: float  # fraction of the values below 0
    above_one: float  # fraction of the values above 1
    whole: bool  # all are integers
    from_8_bits: bool  # all are multiples of 256 or of 257

    @classmethod
    def of(cls, arrays: Iterable[np.ndarray]) -> "Values":
        """Compute the statistics of the values in `arrays`.

        Raises:
            ValueError: some values are NaN or infinite.
        """
        maximum, count, negative, above, whole, by_256, by_257 = 0.0, 0, 0, 0, True, True, True
        for array in arrays:
            if not np.isfinite(array).all():
                raise ValueError("some of its values are NaN or infinite")
            maximum, count = max(maximum, float(array.max())), count + array.size
            negative += int((array < 0).sum())
            above += int((array > 1).sum())
            whole = whole and bool((array == np.rint(array)).all())
            by_256 = by_256 and not (array % 256).any()
            by_257 = by_257 and not (array % 257).any()
        return cls(maximum, negative / count, above / count, whole, by_256 or by_257)

    @classmethod
    def of_bytes(cls, upper: np.ndarray, lower: np.ndarray) -> "Values":
        """Compute the statistics of 16-bit values from their upper and lower bytes."""
        maximum = int(upper.max()) * 256
        maximum += int(lower.max(initial=0, where=upper == upper.max()))
        from_8_bits = not lower.any() or np.array_equal(upper, lower)
        return cls(maximum, 0, 1, True, from_8_bits)


def to_8_bits(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """Convert a one-channel picture of mode I, I;16 or F to uint8 [height, width], with notes.

    Raises:
        ValueError: its values cannot be those of a picture.
    """
    tags = getattr(image, "tag_v2", {})
    container = _container(image.mode, tags)

    def numbers() -> Iterator[tuple[slice, np.ndarray]]:
        for rows, strip in strips(image):
            array = np.asarray(strip)  # always signed in mode I, whatever the file says
            yield rows, array.view(np.uint32) if (image.mode, container) == ("I", 32) else array

    values = Values.of(array for _, array in numbers())
    if values.negative > _FEW:
        raise ValueError("more than 1 % of its values are negative")
    # Pillow scales a PGM's values by the maximum that the file states.
    stated = 65535.0 if image.format == "PPM" and image.mode == "I" else stated_maximum(image)
    if image.mode == "F" and _are_fractions(values, stated):
        bits, notes = 0, list[str]()
    else:
        bits, notes = guess_bits(values, container, stated)
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, array in numbers():
        grey[rows] = _scale_to_8_bits(array, bits)
    return (255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey), notes


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield horizontal strips of a picture from top to bottom, each with its range of rows."""
    count = max(1, _STRIP // image.width)
    for top in range(0, image.height, count):
        bottom = min(image.height, top + count)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _container(mode: str, tags: Mapping[int, Any]) -> int:
    """Return the number of bits that a value is stored in, not counting the sign."""
    if mode == "F":
        return 32
    if mode != "I" or not tags:  # PNGs and PGMs
        return 16
    signed = np.max(tags.get(_SAMPLE_FORMAT, 1)) == _SIGNED
    return int(np.max(tags.get(_BITS_PER_SAMPLE, 32))) - int(signed)


def _are_fractions(values: Values, stated: float | None) -> bool:
    """Check whether the white level is 1."""
    if stated is not None and stated >= values.maximum:
        return stated <= 1
    return values.maximum <= 1 or (values.above_one < _FEW and not values.whole)


def _scale_to_8_bits(array: np.ndarray, bits: int) -> np.ndarray:
    """Scale values of `bits` bits to 0 to 255; 0 bits means floats from 0 to 1."""
    if bits > 8:
        array = np.floor(array / 2.0 ** (bits - 8))
    else:
        array = np.rint(array if bits else array * np.float32(255))
    return np.clip(array, 0, 255).astype(np.uint8)


def stated_maximum(image: Image.Image) -> float | None:
    """Read the largest value that a TIFF states; None if it states none."""
    tags = getattr(image, "tag_v2", {})
    for tag in (_S_MAXIMUM, _MAXIMUM):
        stated = np.ravel(tags.get(tag, ()))
        if stated.size:
            return float(stated.max())
    bits = int(np.max(tags.get(_BITS_PER_SAMPLE, 16)))
    return None if bits in (16, 32) else 2.0**bits - 1


def guess_bits(values: Values, container: int, stated: float | None) -> tuple[int, list[str]]:
    """Guess the bit depth of values stored in `container` bits; also return notes for the user.

    The rules are those at the top of this module.
    """
    maximum = values.maximum if values.whole else values.maximum / _OVERSHOOT
    if stated is not None and stated >= maximum:
        return next(bits for bits in (*_STATED, container) if stated < 2**bits), []
    fitting = (bits for bits in (*GUESSED, 16, 24, container) if bits <= container)
    bits = next((bits for bits in fitting if maximum < 2**bits), container)
    if bits in GUESSED and values.from_8_bits:
        return 16, []
    remark = f"no value is above {values.maximum:g}, so it is read as"
    if bits == 16 and maximum < 2**14:  # or bright 14-bit data
        return bits, [f"{remark} dark 16-bit data"]
    # Arrays of 32 bits often hold 8-bit pictures, and a black picture is black in any depth.
    obvious = (bits == 8 and container > 16) or not maximum
    if bits in (*GUESSED, 24) and not obvious:
        return bits, [f"{remark} {bits}-bit data"]
    return bits, []
