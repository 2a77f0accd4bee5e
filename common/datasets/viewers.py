"""The levels that viewers gave: label files of VideoSet and MCL-JCI, and their statistics."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..base.constants import QP, QUALITY, SCALES
from ..base.errors import UserError
from ..base.files import check_regular
from ..data.text import read_table
from ..models.labels import VIEWERS

# One picture: for each of JND1, JND2, JND3 the level at which each viewer saw a change.
Samples = tuple[list, list, list]


def aggregate(samples: list[int], statistic: str, falling: bool = False) -> float:
    """One level from the levels of many viewers, one each, by `statistic`.

    `sur75`: the level up to which 75 % of the viewers are satisfied, that is, see no change yet:
    the 25th percentile of QPs (VideoSet, Wang et al. 2017), in whole levels by the nearest rank.
    `median` and `mean` are those of the samples, the mean rounded to two decimals. Where levels are
    `falling`, coarser means lower, as for JPEG quality factors; the percentile is the 75th then.
    """
    return float(aggregates(np.array(samples), statistic, falling))


def aggregates(samples: np.ndarray, statistic: str, falling: bool = False) -> np.ndarray:
    """`aggregate` of many lists at once: samples [..., viewers] to levels [...]."""
    if statistic == "sur75":
        signed = samples * (-1 if falling else 1)
        return np.abs(np.percentile(signed, 25, method="nearest", axis=-1))
    of_viewers = np.median if statistic == "median" else np.mean
    return np.round(of_viewers(samples, axis=-1), 2)


def answer_columns(samples: Samples, statistic: str, labels: str) -> dict[str, str]:
    """Manifest columns that tell how levels were made of viewers' answers in the file `labels`."""
    counts = "/".join(str(len(level)) for level in samples)
    source = f"viewers' {statistic}, {labels}, of {counts} samples"
    return {"level_kind": VIEWERS, "levels_from": source, "statistic": statistic, "metric": "none"}


def read_videoset(folder: Path, size: str) -> tuple[dict[int, Samples], list[int]]:
    """VideoSet's raw labels `videoset_{size}_{1st,2nd,3rd}.csv`: QPs by clip number.

    Returns:
        the samples of each clip that all three files have, and the clips that only some have.

    Raises:
        UserError: a file is missing (told which other sizes there are) or a row is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; VideoSet's label CSVs were expected in it")
    paths = _files(folder, size)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        there = label_sizes(folder)
        mend = f"; viewers judged each size by itself, and there are labels of {', '.join(there)}: "
        mend += f"--label_size {''.join(there[:1])} takes those"
        raise UserError(f"{missing[0]}: no such file{mend if there else ''}")
    levels = [_read_videoset_file(path) for path in paths]
    clips = set.intersection(*map(set, levels))
    partly = set.union(*map(set, levels)) - clips
    first, second, third = levels
    samples = {clip: (first[clip], second[clip], third[clip]) for clip in sorted(clips)}
    return samples, sorted(partly)


def label_sizes(folder: Path) -> list[str]:
    """The sizes, as 1280x720, of which the folder has all three of VideoSet's label files."""
    matches = [re.fullmatch(r"videoset_(\d+x\d+)_1st\.csv", path.name) for path in folder.iterdir()]
    sizes = sorted(match.group(1) for match in matches if match)
    return [size for size in sizes if all(path.is_file() for path in _files(folder, size))]


def _files(folder: Path, size: str) -> list[Path]:
    return [folder / f"videoset_{size}_{order}.csv" for order in ("1st", "2nd", "3rd")]


def _read_videoset_file(path: Path) -> dict[int, list[int]]:
    table = read_table(path, ("sequence_index", "samples"))
    rows = ((f"{path}, line {line}", row["sequence_index"], row["samples"]) for line, row in table)
    needs = "a column sequence_index with a clip number and a column samples with a list of QPs"
    return {clip: qps for _, clip, qps in _answers(rows, "clip", "QP", SCALES[QP], needs)}


def _answers(
    rows: Iterable[tuple[str, Any, Any]], thing: str, unit: str, scale: range, needs: str
) -> Iterator[tuple[str, int, list[int]]]:
    """Rows (where it stands, clip or image, samples) as read: checked, and in numbers."""
    numbers = set()
    for where, number, text in rows:
        try:
            number, samples = int(number), parse_samples(text)
        except (OverflowError, RecursionError, TypeError, ValueError):
            raise UserError(f"{where}: needs {needs}") from None
        if not all(sample in scale for sample in samples):
            raise UserError(f"{where}: a sample is not within {unit} {min(scale)} to {max(scale)}")
        if number in numbers:
            raise UserError(f"{where}: a second row for {thing} {number}")
        numbers.add(number)
        yield where, number, samples


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
        check_regular(path)
        sheet = openpyxl.load_workbook(path, read_only=True).active
        rows = list(sheet.iter_rows(max_col=2, values_only=True))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it is MCL-JCI's workbook of samples") from None
    except UserError:
        raise
    # openpyxl answers files that are no workbooks with whatever it stumbles on.
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an Excel workbook ({error})") from None
    cells = ((f"{path}, row {n}", *row) for n, row in enumerate(rows, 1) if row != (None, None))
    needs, images = "an image number and a list of quality factors", {}
    for where, image, samples in _answers(cells, "image", "quality", SCALES[QUALITY], needs):
        viewers = staircases(samples)
        first, second, third = ([v[n] for v in viewers if len(v) > n] for n in range(3))
        images[image] = first, second, third
        if not all(images[image]):
            raise UserError(f"{where}: no viewer gave three levels")
    return images
