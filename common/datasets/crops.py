"""Crops and views of pictures: which parts are labelled, and which are shown in frames."""

import os
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..base.constants import HEIGHT, WIDTH
from .augmentation import augment

Box = tuple[int, int, int, int]  # left, top, width, height


class Crop(NamedTuple):
    """What a frame is made from: the part of a picture or video that is labelled, and the part of
    that part which the frame shows.
    """

    number: int  # of the video's frame; 0 for a picture
    box: Box  # the labelled part
    key: str = ""  # for `augment`; empty if the crop is not augmented
    # The width that the labelled part is reduced to, at its own aspect ratio; 0: it becomes a frame
    # of 640x352, or keeps its size.
    width: int = 0
    view: Box | None = None  # what the frame shows of the labelled part; None: all of it


class Framing(NamedTuple):
    """How frames are made from pictures."""

    frames: int  # per picture or, if whole pictures are labelled, at each width
    least_width: int  # of crops, in pixels
    widths: Sequence[int]  # those at which whole pictures are labelled; none: each crop is
    keep_size: bool  # whether crops keep their size (made even) instead of becoming 640x352


def choose_crops(width: int, height: int, framing: Framing, key: str) -> list[Crop]:
    """Choose the crops or views of a picture of `width` x `height` pixels; `key` seeds this."""
    if framing.widths:
        return choose_views(width, height, framing, key)
    least, even = framing.least_width, framing.keep_size
    boxes = choose_boxes(width, height, framing.frames, key, least, even=even)
    return [Crop(0, box) for box in boxes]


def choose_boxes(
    width: int, height: int, count: int, key: str, least_width: int = WIDTH, even: bool = False
) -> list[Box]:
    """Choose crops of the models' aspect ratio in a picture of `width` x `height` pixels.

    The first is the largest, in the centre. The others have a random position and a random width
    from `least_width`, or 3/4 of the largest if that is smaller, up to the largest.

    Args:
        key: seeds the choice.
        even: whether to make width and height even, as video requires.
    """
    largest = min(width, height * WIDTH / HEIGHT)
    least = min(least_width, largest * 3 / 4)
    step = 2 if even else 1
    # As bytes, since a file name in the key may not be valid text.
    choose = random.Random(os.fsencode(key))
    boxes = []
    for index in range(count):
        across = largest if index == 0 else least * (largest / least) ** choose.random()
        sides = across, across * HEIGHT / WIDTH
        wide, high = (max(int(side) // step * step, step) for side in sides)
        at = (0.5, 0.5) if index == 0 else (choose.random(), choose.random())
        boxes.append((round((width - wide) * at[0]), round((height - high) * at[1]), wide, high))
    return boxes


def choose_views(width: int, height: int, framing: Framing, key: str) -> list[Crop]:
    """Choose views of a whole picture, which is labelled at some widths.

    A picture narrower than all widths is labelled at its own. At each width, the first view is all
    of the picture; the others are boxes, as `choose_boxes` chooses them.
    """
    crops = []
    for across in [each for each in framing.widths if each <= width] or [width]:
        high, wide = (_even(side * across / width) for side in (height, width))
        boxes = choose_boxes(
            wide, high, framing.frames - 1, f"{key} {across}", wide, framing.keep_size
        )
        whole = Crop(0, (0, 0, width, height), width=wide)
        crops += [whole._replace(view=view) for view in (None, *boxes)]
    return crops


def _even(side: float) -> int:
    return max(round(side / 2) * 2, 2)


def find_labelled_part(crop: Crop) -> Crop:
    """Return the crop of which `crop` is a view: all that is labelled together with it."""
    return crop._replace(view=None)


def cut_labelled_part(picture: np.ndarray, part: Crop, keep_size: bool) -> tuple[np.ndarray, str]:
    """Cut out and augment what is labelled; return it and how it was augmented."""
    frame, changes = Image.fromarray(crop_picture(picture, part.box)), ""
    size = (WIDTH, HEIGHT)
    if part.width:
        size = (part.width, _even(frame.height * part.width / frame.width))
    if part.width or not keep_size:
        frame = frame.resize(size, Image.Resampling.LANCZOS)
    if part.key:
        frame, changes = augment(frame, part.key)
    return np.asarray(frame), changes


def crop_picture(picture: np.ndarray, box: Box | None) -> np.ndarray:
    """Cut out a box; None: all of the picture."""
    left, top, width, height = box or (0, 0, picture.shape[1], picture.shape[0])
    return picture[top : top + height, left : left + width]


def locate(crop: Crop, shape: tuple[int, ...]) -> list[int]:
    """Compute the box that a frame shows in the source's pixels from that in the labelled part."""
    left, top, width, height = crop.box
    if crop.view is None:
        return [left, top, width, height]
    scales = (width / shape[1], height / shape[0]) * 2
    offsets = (left, top, 0, 0)
    return [round(side * scale) + at for side, scale, at in zip(crop.view, scales, offsets)]
