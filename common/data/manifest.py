"""`manifest.csv`: where each frame of a prepared folder came from, and what its levels are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from common.facts import QP, QUALITY
from common.files import replaced

MANIFEST = "manifest.csv"
VIEWERS = "viewers"
STAND_IN = "objective stand-in"
COLUMNS = (
    "file",  # the image, relative to the folder; its JND frames have the same name
    "split",
    "content",  # clip or picture; never in two splits
    "source",  # the file it was taken from
    "frame",  # its number in a clip, from 0
    "crop",  # left,top,width,height in the source's pixels
    "jnd1",
    "jnd2",
    "jnd3",  # the levels
    "coded1",
    "coded2",
    "coded3",  # the whole QP or quality factor that the JND frames were made with
    "level_kind",  # VIEWERS, or STAND_IN and its thresholds
    "levels_from",  # how each level was made
    "jnd1_frame",
    "jnd2_frame",
    "jnd3_frame",  # how each JND frame was made
    "codec",  # what a level is: QP or QUALITY
    "encoder",  # with version
    "metric",  # with version
)


class Provenance(NamedTuple):
    """What the levels of a prepared folder are."""

    level_kind: str
    codec: str

    @property
    def objective(self) -> bool:
        """The levels are stand-ins, which no viewer gave."""
        return self.level_kind != VIEWERS

    @property
    def caption(self) -> str:
        """What must be said wherever these levels appear."""
        return f"{self.level_kind}, not viewers' answers" if self.objective else "viewers' levels"


def provenance(root: Path) -> Provenance | None:
    """What the levels in a folder are, by its manifest; None where it has none.

    Raises:
        UserError: the manifest is damaged, or no one codec's.
    """
    if not (Path(root) / MANIFEST).is_file():
        return None
    rows = read_manifest(root)
    # A folder that someone put together from several is a stand-in as soon as one part is.
    kinds = sorted({row["level_kind"] for row in rows} - {VIEWERS})
    codecs = sorted({row["codec"] for row in rows})
    if len(codecs) > 1 or codecs[0] not in (QP, QUALITY):
        path, found = Path(root) / MANIFEST, " and ".join(codecs)
        raise UserError(f"{path}: levels of codec {found}; should all be {QP} or all {QUALITY}")
    return Provenance(" and ".join(kinds) or VIEWERS, codecs[0])


def codec_by_order(levels: np.ndarray) -> str:
    """What levels [images, 3] are where no manifest tells: QPs rise, JPEG quality factors fall."""
    return QUALITY if np.median(np.diff(levels)) < 0 else QP


def read_manifest(root: Path) -> list[dict[str, str]]:
    """The rows of rootdir/manifest.csv, a dict by column each.

    Raises:
        UserError: it cannot be read, has no rows, or lacks columns.
    """
    path = Path(root) / MANIFEST
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: not a CSV file") from None
    if not rows:
        raise UserError(f"{path}: no rows in it")
    missing = [name for name in COLUMNS if rows[0].get(name) is None]
    if missing:
        columns = ", ".join(missing)
        raise UserError(f"{path}: no column {columns}; is it one that common.prepare wrote?")
    return rows


def write_manifest(root: Path, rows: list[dict[str, str]]) -> None:
    """Write rootdir/manifest.csv, whole or not at all."""
    with replaced(Path(root) / MANIFEST) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
