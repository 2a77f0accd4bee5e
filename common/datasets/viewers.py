"""The levels that viewers gave: label files of VideoSet and MCL-JCI, and their statistics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from common.data.text import read_table
from common.errors import UserError

STATISTICS = ("sur75", "median", "mean")

# One picture: for each of JND1, JND2, JND3 the level at which each viewer saw a change.
Samples = tuple[list, list, list]


def aggregate(samples: list[int], statistic: str, falling: bool = False) -> float:
    """One level from the levels of many viewers.

    `sur75`: the level up to which 75 % of the viewers are satisfied, that is, see no change yet:
    the 25th percentile of QPs (VideoSet, Wang et al. 2017), in whole levels by the nearest rank.
    `median` and `mean` are those of the samples, the mean rounded to two decimals.

    Args:
        samples: one level a viewer.
        statistic: one of `STATISTICS`.
        falling: coarser means lower, as for JPEG quality factors; the percentile is the 75th then.
    """
    return float(aggregates(np.array(samples), statistic, falling))


def aggregates(samples: np.ndarray, statistic: str, falling: bool = False) -> np.ndarray:
    """`aggregate` of many lists at once: samples [..., viewers] to levels [...]."""
    if statistic == "sur75":
        signed = samples * (-1 if falling else 1)
        return np.abs(np.percentile(signed, 25, method="nearest", axis=-1))
    of_viewers = np.median if statistic == "median" else np.mean
    return np.round(of_viewers(samples, axis=-1), 2)


def counts(samples: Samples) -> str:
    """How many viewers gave each level, as 30/29/30."""
    return "/".join(str(len(level)) for level in samples)


def read_videoset(folder: Path, size: str) -> tuple[dict[int, Samples], list[int]]:
    """VideoSet's raw labels `videoset_{size}_{1st,2nd,3rd}.csv`: QPs by clip number.

    Returns:
        the samples of each clip that all three files have, and the clips that only some have.

    Raises:
        UserError: a file is missing (told which other sizes there are) or a row is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; VideoSet's label CSVs were expected in it")
    paths = _files(folder, size)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        there = label_sizes(folder)
        mend = (
            f"; viewers judged each size by itself, and there are labels of {', '.join(there)}: "
            f"--label_size {''.join(there[:1])} takes those"
        )
        raise UserError(f"{missing[0]}: no such file{mend if there else ''}")
    levels = [_read_videoset_file(path) for path in paths]
    clips = set.intersection(*map(set, levels))
    partly = set.union(*map(set, levels)) - clips
    return {clip: tuple(level[clip] for level in levels) for clip in sorted(clips)}, sorted(partly)


def label_sizes(folder: Path) -> list[str]:
    """The sizes, as 1280x720, of which the folder has all three of VideoSet's label files."""
    found = [re.fullmatch(r"videoset_(\d+x\d+)_1st\.csv", path.name) for path in folder.iterdir()]
    sizes = sorted(match.group(1) for match in found if match)
    return [size for size in sizes if all(path.is_file() for path in _files(folder, size))]


def _files(folder: Path, size: str) -> list[Path]:
    return [folder / f"videoset_{size}_{order}.csv" for order in ("1st", "2nd", "3rd")]


def _read_videoset_file(path: Path) -> dict[int, list[int]]:
    rows = {}
    for line, row in read_table(path, ("sequence_index", "samples")):
        where = f"{path}, line {line}"
        try:
            clip, samples = int(row["sequence_index"]), parse_samples(row["samples"])
        except (RecursionError, ValueError):
            raise UserError(
                f"{where}: needs a column sequence_index with a clip number and a column samples "
                "with a list of QPs"
            ) from None
        if not all(0 <= qp <= 51 for qp in samples):
            raise UserError(f"{where}: a sample is not within QP 0 to 51")
        if clip in rows:
            raise UserError(f"{where}: a second row for clip {clip}")
        rows[clip] = samples
    return rows


def parse_samples(text: str) -> list[int]:
    """`"[33, 35, 31]"` as numbers; at least one, all whole.

    Raises:
        ValueError: anything else; RecursionError: brackets in brackets in brackets.
    """
    samples = json.loads(text)
    if not isinstance(samples, list) or not samples:
        raise ValueError(f"{text!r} is not a list of levels")
    if not all(type(sample) is int for sample in samples):
        raise ValueError(f"{text!r} holds something that is not a whole number")
    return samples


def staircases(values: list[int]) -> list[list[int]]:
    """Each viewer's JND1, JND2, ... out of MCL-JCI's flat list of all viewers of an image.

    A viewer's quality factors fall; one that is not below the last begins the next viewer.
    """
    viewers: list[list[int]] = []
    for value in values:
        if viewers and value < viewers[-1][-1]:
            viewers[-1].append(value)
        else:
            viewers.append([value])
    return viewers


def read_mcl_jci(path: Path) -> dict[int, Samples]:
    """MCL-JCI's raw labels: JPEG quality factors by image number.

    Not every viewer saw a second or third change: those lists may be shorter than the first.

    Raises:
        UserError: the file is no workbook, or a row is damaged.
    """
    import openpyxl

    try:
        sheet = openpyxl.load_workbook(path, read_only=True).active
        rows = list(sheet.iter_rows(max_col=2, values_only=True))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it is MCL-JCI's workbook of samples") from None
    # openpyxl answers files that are no workbooks with whatever it stumbles on.
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an Excel workbook ({error})") from None
    images = {}
    for number, row in enumerate(rows, 1):
        if all(cell is None for cell in row):
            continue
        try:
            image, viewers = int(row[0]), staircases(parse_samples(row[1]))
        except (IndexError, OverflowError, RecursionError, TypeError, ValueError):
            raise UserError(
                f"{path}, row {number}: needs an image number and a list of quality factors"
            ) from None
        samples = tuple(
            [viewer[order] for viewer in viewers if len(viewer) > order] for order in range(3)
        )
        if not all(1 <= quality <= 100 for viewer in viewers for quality in viewer):
            raise UserError(f"{path}, row {number}: a sample is not within quality 1 to 100")
        if not all(samples):
            raise UserError(f"{path}, row {number}: no viewer gave three levels")
        if image in images:
            raise UserError(f"{path}, row {number}: a second row for image {image}")
        images[image] = samples
    return images
