"""A picture for a person to look at: sources beside their JND frames, at the size they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.data import video
from common.data.frames import read_rgb
from common.data.manifest import Provenance
from common.files import replaced

CONTACT_SHEET = "contact_sheet.png"
ROWS = 8
# The middle of each frame, pixel for pixel: scaled down, there would be nothing to see.
WIDTH, HEIGHT = 480, 264
GAP, LINE = 8, 24


def write_contact_sheet(root: Path, rows: list[dict[str, str]]) -> None:
    """rootdir/contact_sheet.png: some of the manifest's rows, with levels and PSNR."""
    chosen = [rows[index * len(rows) // ROWS] for index in range(ROWS)]
    chosen = list({row["file"]: row for row in chosen}.values())
    width = 4 * WIDTH + 5 * GAP
    sheet = Image.new("RGB", (width, 2 * LINE + GAP + len(chosen) * (HEIGHT + LINE + GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    codec = rows[0]["codec"]
    kind = Provenance(rows[0]["level_kind"], codec).caption
    title = f"Levels ({codec}): {kind}. {len(chosen)} of {len(rows)} frames."
    draw.text((GAP, GAP), title, "black", font)
    middle = f"The middle {WIDTH} x {HEIGHT} pixels, not scaled; PSNR is that of the whole frame."
    draw.text((GAP, GAP + LINE), middle, "black", font)
    for index, row in enumerate(chosen):
        top = 2 * LINE + GAP + index * (HEIGHT + LINE + GAP)
        source = read_rgb(root / row["file"])
        _place(sheet, source, 0, top + LINE)
        _write(draw, font, row["file"], 0, top)
        for order in (1, 2, 3):
            frame = read_rgb(root / f"jnd{order}{row['file']}")
            decibels = video.measure(source, frame, ["psnr"])["psnr"]
            text = f"JND{order}: {codec} {row[f'jnd{order}']}, {decibels:.1f} dB"
            _place(sheet, frame, order, top + LINE)
            _write(draw, font, text, order, top)
    with replaced(root / CONTACT_SHEET) as path:
        sheet.save(path)


def _place(sheet: Image.Image, frame: np.ndarray, column: int, top: int) -> None:
    image = Image.fromarray(frame)
    left, upper = (image.width - WIDTH) // 2, (image.height - HEIGHT) // 2
    middle = image.crop((left, upper, left + WIDTH, upper + HEIGHT))
    sheet.paste(middle, (GAP + column * (WIDTH + GAP), top))


def _write(draw: ImageDraw.ImageDraw, font, text: str, column: int, top: int) -> None:
    while draw.textlength(text, font) > WIDTH:
        text = text[:-2].rstrip("…") + "…"
    draw.text((GAP + column * (WIDTH + GAP), top), text, "black", font)
