"""A picture for a person to look at: rows of frames, each with a caption above it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.files import replaced

GAP, LINE = 8, 24
CAPTION = 480  # pixels that a caption may take, however small its frame


def write_side_by_side(
    path: Path, rows: Sequence[Sequence[tuple[str, np.ndarray]]], title: Sequence[str] = ()
) -> None:
    """Write an image file of `rows` of (caption, frame) below the lines of `title`.

    Frames are RGB, uint8 [height, width, 3], shown pixel for pixel; long captions are cut.
    """
    frames = [frame for row in rows for _, frame in row]
    height = max(frame.shape[0] for frame in frames)
    width = max(CAPTION, *(frame.shape[1] for frame in frames))
    across, down = width + GAP, LINE + height + GAP
    top = GAP + len(title) * LINE
    size = max(map(len, rows)) * across + GAP, top + len(rows) * down
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    for number, line in enumerate(title):
        draw.text((GAP, GAP + number * LINE), line, "black", font)
    for place, row in enumerate(rows):
        for column, (caption, frame) in enumerate(row):
            at = GAP + column * across, top + place * down
            while draw.textlength(caption, font) > width:
                caption = caption[:-2].rstrip("…") + "…"
            draw.text(at, caption, "black", font)
            picture.paste(Image.fromarray(frame), (at[0], at[1] + LINE))
    with replaced(path) as beside:
        picture.save(beside)
