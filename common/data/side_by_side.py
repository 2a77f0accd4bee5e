"""Pictures for a person to look at: rows of frames, each with a caption above it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ..base.constants import SOFTWARE
from ..base.errors import printable
from ..base.files import atomic_write
from ..models.labels import Labels
from ..video import quality
from .pictures import read_rgb

CONTACT_SHEET = "contact_sheet.png"
ROWS = 8  # of a contact sheet
MIDDLE = 264, 480  # height and width in pixels of the part of a frame on a contact sheet
GAP, LINE = 8, 24
CAPTION = 480  # least width of a caption in pixels


def png_software() -> PngInfo:
    """Make the `pnginfo` for Pillow's `save` that marks a PNG as made by this program."""
    about = PngInfo()
    about.add_text("Software", SOFTWARE)
    return about


def write_side_by_side(
    path: Path,
    rows: Sequence[Sequence[tuple[str, np.ndarray]]],
    title: Sequence[str] = (),
    overwrite: bool = False,
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
        draw.text((GAP, GAP + number * LINE), printable(line), "black", font)
    for number, row in enumerate(rows):
        for column, (caption, frame) in enumerate(row):
            at = GAP + column * across, top + number * down
            caption = printable(caption)
            while draw.textlength(caption, font) > width:
                caption = caption[:-2].rstrip("…") + "…"
            draw.text(at, caption, "black", font)
            picture.paste(Image.fromarray(frame), (at[0], at[1] + LINE))
    with atomic_write(path, overwrite=overwrite) as temporary:
        picture.save(temporary, "PNG", pnginfo=png_software())


def write_contact_sheet(root: Path, rows: list[dict[str, str]]) -> None:
    """Write ROOT/contact_sheet.png: some of the manifest's frames, with levels and PSNR.

    It shows the middle of each frame unscaled: scaling down would hide the distortions.
    """
    chosen = [rows[index * len(rows) // ROWS] for index in range(ROWS)]
    chosen = list({row["file"]: row for row in chosen}.values())
    codec = rows[0]["codec"]
    shown = []
    for row in chosen:
        source = read_rgb(root / row["file"])
        shown.append([(row["file"], _crop_middle(source))])
        for order in (1, 2, 3):
            frame = read_rgb(root / f"jnd{order}{row['file']}")
            decibels = quality.measure(source, frame, ["psnr"])["psnr"]
            caption = f"JND{order}: {codec} {row[f'jnd{order}']}, {decibels:.1f} dB"
            shown[-1].append((caption, _crop_middle(frame)))
    kind = Labels.from_fields(rows[0]).describe()
    title = [
        f"Levels ({codec}): {kind}. {len(chosen)} of {len(rows)} frames.",
        "The middle 480 x 264 pixels, not scaled; PSNR is that of the whole frame.",
    ]
    write_side_by_side(root / CONTACT_SHEET, shown, title, overwrite=True)


def _crop_middle(frame: np.ndarray) -> np.ndarray:
    top, left = (max(0, (old - new) // 2) for old, new in zip(frame.shape, MIDDLE))
    return frame[top : top + MIDDLE[0], left : left + MIDDLE[1]]
