"""A look at a prepared folder: sources beside their JND frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.codecs import h264
from common.data.frames import read_rgb
from common.data.manifest import Provenance
from common.data.side_by_side import write_side_by_side

CONTACT_SHEET = "contact_sheet.png"
ROWS = 8
# The middle of each frame, pixel for pixel: scaled down, there would be nothing to see.
WIDTH, HEIGHT = 480, 264


def write_contact_sheet(root: Path, rows: list[dict[str, str]]) -> None:
    """rootdir/contact_sheet.png: some of the manifest's rows, with levels and PSNR."""
    chosen = [rows[index * len(rows) // ROWS] for index in range(ROWS)]
    chosen = list({row["file"]: row for row in chosen}.values())
    codec = rows[0]["codec"]
    kind = Provenance(rows[0]["level_kind"], codec).caption
    shown = []
    for row in chosen:
        source = read_rgb(root / row["file"])
        shown.append([(row["file"], _middle(source))])
        for order in (1, 2, 3):
            frame = read_rgb(root / f"jnd{order}{row['file']}")
            decibels = h264.measure(source, frame, ["psnr"])["psnr"]
            caption = f"JND{order}: {codec} {row[f'jnd{order}']}, {decibels:.1f} dB"
            shown[-1].append((caption, _middle(frame)))
    title = [
        f"Levels ({codec}): {kind}. {len(chosen)} of {len(rows)} frames.",
        f"The middle {WIDTH} x {HEIGHT} pixels, not scaled; PSNR is that of the whole frame.",
    ]
    write_side_by_side(root / CONTACT_SHEET, shown, title)


def _middle(frame: np.ndarray) -> np.ndarray:
    top, left = (max(0, (old - new) // 2) for old, new in zip(frame.shape, (HEIGHT, WIDTH)))
    return frame[top : top + HEIGHT, left : left + WIDTH]
