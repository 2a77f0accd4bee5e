"""`manifest.csv`: where each frame of a prepared folder came from, and what its levels are."""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import COARSEST_QP, QP, QUALITY, SCALES
from ..base.errors import UserError
from ..base.files import atomic_write
from .text import guard_cells, read_table

MANIFEST = "manifest.csv"
VIEWERS = "viewers"
STAND_IN = "objective stand-in"
LEVEL_COLUMNS = ("jnd1", "jnd2", "jnd3")
COLUMNS = (
    "file",  # the image, relative to the folder; its JND frames have the same name
    "split",
    "content",  # clip or picture; never in two splits
    "source",  # the file it was taken from
    "frame",  # its number in a clip, from 0
    "crop",  # left,top,width,height in the source's pixels
    "variation",  # what was changed of it then, by `common.datasets.variation`
    *LEVEL_COLUMNS,  # the levels
    *("coded1", "coded2", "coded3"),  # the whole QP or quality that the JND frames were made with
    "level_kind",  # VIEWERS, or STAND_IN and its thresholds
    "levels_from",  # how each level was made
    "statistic",  # of the viewers' answers, by `common.datasets.viewers.aggregate`
    "label_size",  # of VideoSet's labels, as 640x360
    "thresholds",  # three falling VMAF, as 94.5/91.25/87
    "scores",  # the VMAF at the three levels, as 94.31/90.80/86.52
    *("jnd1_frame", "jnd2_frame", "jnd3_frame"),  # how each JND frame was made
    "codec",  # what a level is: QP or QUALITY
    "encoder",  # with version
    "metric",  # with version
)
# Which column said in English what now has a column of its own, and how.
_IN_ENGLISH = {
    "variation": ("levels_from", "(?!)"),  # of old ones nothing was varied
    "statistic": ("levels_from", r"viewers' (\w+),"),
    "label_size": ("levels_from", r"viewers' \w+, videoset_(\d+x\d+)"),
    "thresholds": ("level_kind", r"VMAF below ([\d., ]+)"),
    "scores": ("levels_from", r"VMAF there (\S+)"),
}


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
    if not (root / MANIFEST).is_file():
        return None
    rows = read_manifest(root)
    # A folder that someone put together from several is a stand-in as soon as one part is.
    kinds = sorted({row["level_kind"] for row in rows} - {VIEWERS})
    codecs = sorted({row["codec"] for row in rows})
    if len(codecs) > 1 or codecs[0] not in (QP, QUALITY):
        path, names = root / MANIFEST, " and ".join(codecs)
        raise UserError(f"{path}: levels of codec {names}; should all be {QP} or all {QUALITY}")
    return Provenance(" and ".join(kinds) or VIEWERS, codecs[0])


def codec_by_order(levels: np.ndarray) -> str:
    """What levels [images, 3] are where no manifest tells: QPs rise, JPEG quality factors fall."""
    with np.errstate(all="ignore"):  # what is not finite is refused elsewhere
        step = np.median(np.diff(levels))
    return QUALITY if step < 0 or (step == 0 and np.max(levels, initial=0) > COARSEST_QP) else QP


def read_manifest(root: Path) -> list[dict[str, str]]:
    """The rows of ROOT/manifest.csv, a dict by `COLUMNS` each; those of old ones are filled in.

    Raises:
        UserError: it cannot be read, has no rows, lacks columns, or has levels that are none.
    """
    path = root / MANIFEST
    rows = read_table(path, [name for name in COLUMNS if name not in _IN_ENGLISH])
    for line, row in rows:
        if wrong := impossible_level(row):
            raise UserError(f"{path}, line {line}: {wrong} is {row[wrong]!r}, no {row['codec']}")
        for name, (column, pattern) in _IN_ENGLISH.items():
            match = re.search(pattern, row[column])
            row[name] = row.get(name) or (match[1].strip().replace(", ", "/") if match else "")
    return [row for _, row in rows]


def impossible_level(row: dict[str, str]) -> str:
    """Which of `LEVEL_COLUMNS` of a row is nothing that its codec has; empty if none is."""
    possible = SCALES.get(row["codec"], (0, 100))
    for column in LEVEL_COLUMNS:
        with suppress(ValueError):
            if min(possible) <= float(row[column]) <= max(possible):
                continue
        return column
    return ""


def write_manifest(root: Path, rows: list[dict[str, str]]) -> None:
    """Write ROOT/manifest.csv, whole or not at all."""
    import pandas as pd

    with atomic_write(root / MANIFEST, overwrite=True) as path:
        table = guard_cells(pd.DataFrame(rows, columns=COLUMNS))
        table.to_csv(path, index=False, errors="backslashreplace")
