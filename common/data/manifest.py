"""`manifest.csv`: the origin and the levels of each frame of a dataset root."""

import csv
from contextlib import suppress
from pathlib import Path

from ..base.constants import QP, QUALITY, SCALES
from ..base.errors import UserError
from ..base.files import atomic_write
from ..models.labels import VIEWERS, Labels
from .text import guard_cell, read_table

MANIFEST = "manifest.csv"
LEVEL_COLUMNS = ("jnd1", "jnd2", "jnd3")
COLUMNS = (
    "file",  # the image, relative to the folder; its JND frames have the same name
    "split",
    "content",  # clip or picture; never in two splits
    "source",  # the file it was taken from
    "frame",  # its number in a clip, from 0
    "crop",  # left,top,width,height in the source's pixels
    "variation",  # the changes made by `common.datasets.augmentation`
    *LEVEL_COLUMNS,  # the levels
    *("coded1", "coded2", "coded3"),  # the integer QPs or qualities of the JND frames
    "level_kind",  # `Labels.kind`
    "levels_from",  # how each level was made
    "statistic",  # of the viewers' answers, see `common.datasets.viewers.aggregate`
    "label_size",  # frame size of VideoSet's labels, such as 640x360
    "thresholds",  # three falling VMAF scores, such as 94.5/91.25/87
    "scores",  # the VMAF scores at the three levels, such as 94.31/90.80/86.52
    *("jnd1_frame", "jnd2_frame", "jnd3_frame"),  # how each JND frame was made
    "codec",  # the unit of the levels: QP or QUALITY
    "encoder",  # with version
    "metric",  # with version
)


def read_labels(root: Path) -> Labels | None:
    """Read the kind of a dataset root's levels from its manifest; None if it has no manifest.

    If a manifest was merged from several, its levels are proxy labels as soon as one part's are.

    Raises:
        UserError: the manifest is damaged, or has levels of several codecs.
    """
    path = root / MANIFEST
    if not path.is_file():
        return None
    try:
        found = {Labels.from_fields(row) for row in read_manifest(root)}
    except ValueError:
        raise UserError(f"{path}: needs three VMAF thresholds, such as 94.5/91.25/87") from None
    codecs = sorted({labels.codec for labels in found})
    if len(codecs) > 1 or codecs[0] not in (QP, QUALITY):
        names = " and ".join(codecs)
        raise UserError(f"{path}: levels of codec {names}; should all be {QP} or all {QUALITY}")
    proxies = [labels for labels in found if labels.is_proxy]
    kinds = sorted({labels.kind for labels in proxies})
    thresholds = {labels.thresholds for labels in proxies}
    return Labels(
        codec=codecs[0],
        kind=" and ".join(kinds) or VIEWERS,
        thresholds=thresholds.pop() if len(thresholds) == 1 else (),
    )


def read_manifest(root: Path) -> list[dict[str, str]]:
    """Read the rows of ROOT/manifest.csv, each a dict by `COLUMNS`.

    Raises:
        UserError: it cannot be read, has no rows, lacks columns, or has an impossible level.
    """
    path = root / MANIFEST
    rows = read_table(path, COLUMNS, "; prepare the dataset root anew with common.prepare")
    for line, row in rows:
        if wrong := find_impossible_level(row):
            raise UserError(f"{path}, line {line}: {wrong} is {row[wrong]!r}, no {row['codec']}")
    return [row for _, row in rows]


def find_impossible_level(row: dict[str, str]) -> str:
    """Find the column of `LEVEL_COLUMNS` whose value the row's codec cannot have; empty if none."""
    possible = SCALES.get(row["codec"], (0, 100))
    for column in LEVEL_COLUMNS:
        with suppress(ValueError):
            if min(possible) <= float(row[column]) <= max(possible):
                continue
        return column
    return ""


def write_manifest(root: Path, rows: list[dict[str, str]]) -> None:
    """Write ROOT/manifest.csv, completely or not at all."""
    with (
        atomic_write(root / MANIFEST, overwrite=True) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({name: guard_cell(row.get(name, "")) for name in COLUMNS})
