"""What a model, which sees 640x352, is shown of a picture of another size."""

from collections.abc import Callable, Iterator

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from .frames import resized


def squashed(rgb: np.ndarray) -> list[np.ndarray]:
    """The whole picture, resized whatever its shape, as the published models see it."""
    return [resized(rgb)]


def centre(rgb: np.ndarray) -> list[np.ndarray]:
    """The largest part of the models' shape in the middle, resized."""
    height, width = rgb.shape[:2]
    across = min(width, height * WIDTH / HEIGHT)
    sides = max(1, round(across * HEIGHT / WIDTH)), max(1, round(across))
    top, left = (height - sides[0]) // 2, (width - sides[1]) // 2
    return [resized(rgb[top : top + sides[0], left : left + sides[1]])]


def cutouts(rgb: np.ndarray, along: int = 2) -> list[np.ndarray]:
    """Parts of 640x352 at their own scale, evenly spread: `along` x `along`, or as many as cover.

    A picture that is narrower or lower is first enlarged, without changing its shape.
    """
    height, width = rgb.shape[:2]
    scale = max(1, WIDTH / width, HEIGHT / height)
    if scale > 1:
        height, width = (max(least, round(side * scale)) for side, least in
                         ((height, HEIGHT), (width, WIDTH)))  # fmt: skip
        rgb = resized(rgb, height, width)
    return [
        rgb[top : top + HEIGHT, left : left + WIDTH]
        for top in _starts(height, HEIGHT, along)
        for left in _starts(width, WIDTH, along)
    ]


def _starts(whole: int, part: int, most: int) -> Iterator[int]:
    """Where parts begin that cover `whole`, or of `most` parts, in the middles of equal shares."""
    count = -(-whole // part)
    if count <= most:
        return (round(place) for place in np.linspace(0, whole - part, count))
    share = whole / most
    return (round(share * (number + 0.5) - part / 2) for number in range(most))


VIEWS: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "cutouts": cutouts,
    "centre": centre,
    "squashed": squashed,
}
