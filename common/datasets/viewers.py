"""Viewers' judgements: the label files of VideoSet and MCL-JCI, and statistics of them."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl

from ..base.constants import QP, QUALITY, SCALES
from ..base.errors import UserError, explain
from ..base.files import check_regular
from ..data.text import read_table
from ..models.labels import VIEWERS

# For each of JND1, JND2, JND3 of a picture: the levels at which viewers noticed a change.
Samples = tuple[list[int], list[int], list[int]]


def aggregate(samples: list[int], statistic: str, falling: bool = False) -> float:
    """Reduce the levels of many viewers to one level; see `aggregate_rows`."""
    return float(aggregate_rows(np.array(samples), statistic, falling))


def aggregate_rows(samples: np.ndarray, statistic: str, falling: bool = False) -> np.ndarray:
    """Reduce the levels of many viewers [..., viewers] to one level each [...].

    Args:
        statistic: one of `constants.STATISTICS`. `sur75` is the level up to which 75 % of the
            viewers are satisfied, that is, see no change yet: the 25th percentile of QPs (VideoSet,
            Wang et al. 2017), in whole levels by the nearest rank. Medians and means are rounded to
            two decimals.
        falling: whether coarser means lower, as for JPEG quality factors; the percentile is then
            the 75th.
    """
    match statistic:
        case "sur75":
            signed = samples * (-1 if falling else 1)
            return np.abs(np.percentile(signed, 25, method="nearest", axis=-1))
        case "median":
            return np.round(np.median(samples, axis=-1), 2)
        case "mean":
            return np.round(np.mean(samples, axis=-1), 2)
        case _:
            raise ValueError(f"{statistic} is not a statistic")


def label_columns(samples: Samples, statistic: str, file: str) -> dict[str, str]:
    """Make the manifest columns for levels made from viewers' samples in the label `file`."""
    counts = "/".join(str(len(level)) for level in samples)
    source = f"viewers' {statistic}, {file}, of {counts} samples"
    return {"level_kind": VIEWERS, "levels_from": source, "statistic": statistic, "metric": "none"}


def read_videoset(folder: Path, size: str) -> tuple[dict[int, Samples], list[int]]:
    """Read VideoSet's raw labels `videoset_{size}_{1st,2nd,3rd}.csv`: QPs by clip number.

    Returns:
        The samples of each clip that all three files have, and the clips that only some have.

    Raises:
        UserError: a row is damaged, or a file is missing (the message lists the other sizes).
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; VideoSet's label CSVs were expected in it")
    paths = _list_files(folder, size)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        there = find_label_sizes(folder)
        remedy = (
            f"; viewers judged each size separately, and there are labels of {', '.join(there)}"
        )
        remedy += f": --label_size {''.join(there[:1])} takes those"
        raise UserError(f"{missing[0]}: no such file{remedy if there else ''}")
    first, second, third = levels = [_read_videoset_file(path) for path in paths]
    clips = set.intersection(*map(set, levels))
    samples = {clip: (first[clip], second[clip], third[clip]) for clip in sorted(clips)}
    return samples, sorted(set.union(*map(set, levels)) - clips)


def find_label_sizes(folder: Path) -> list[str]:
    """Find the sizes for which the folder has all three of VideoSet's label files."""
    matches = [re.fullmatch(r"videoset_(\d+x\d+)_1st\.csv", path.name) for path in folder.iterdir()]
    sizes = sorted(match[1] for match in matches if match)
    return [size for size in sizes if all(path.is_file() for path in _list_files(folder, size))]


def _list_files(folder: Path, size: str) -> list[Path]:
    return [folder / f"videoset_{size}_{order}.csv" for order in ("1st", "2nd", "3rd")]


def _read_videoset_file(path: Path) -> dict[int, list[int]]:
    table = read_table(path, ("sequence_index", "samples"))
    rows = ((f"{path}, line {line}", row["sequence_index"], row["samples"]) for line, row in table)
    needs = "a column sequence_index with a clip number and a column samples with a list of QPs"
    return {clip: qps for _, clip, qps in _check_rows(rows, "clip", "QP", SCALES[QP], needs)}


def read_mcl_jci(path: Path) -> dict[int, Samples]:
    """Read MCL-JCI's raw labels: JPEG quality factors by image number.

    Not every viewer noticed a second or third change, so those lists may be shorter.

    Raises:
        UserError: the file is not a workbook, or a row is damaged.
    """
    try:
        check_regular(path)
        sheet = openpyxl.load_workbook(path, read_only=True).active
        rows = list(sheet.iter_rows(max_col=2, values_only=True))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it is MCL-JCI's workbook of samples") from None
    except UserError:
        raise
    # On files that are not workbooks, openpyxl raises exceptions of any type.
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an Excel workbook ({explain(error)})") from None
    cells = ((f"{path}, row {n}", *row) for n, row in enumerate(rows, 1) if row != (None, None))
    needs, images = "an image number and a list of quality factors", {}
    for where, image, samples in _check_rows(cells, "image", "quality", SCALES[QUALITY], needs):
        viewers = split_viewers(samples)
        first, second, third = ([v[n] for v in viewers if len(v) > n] for n in range(3))
        images[image] = first, second, third
        if not all(images[image]):
            raise UserError(f"{where}: no viewer gave three levels")
    return images


def split_viewers(values: list[int]) -> list[list[int]]:
    """Split MCL-JCI's flat list for an image into each viewer's JND1, JND2, ...

    A viewer's quality factors fall; one that is not lower than the last starts the next viewer.
    """
    viewers: list[list[int]] = []
    for value in values:
        if viewers and value < viewers[-1][-1]:
            viewers[-1].append(value)
        else:
            viewers.append([value])
    return viewers


def _check_rows(
    rows: Iterable[tuple[str, Any, Any]], thing: str, unit: str, scale: range, needs: str
) -> Iterator[tuple[str, int, list[int]]]:
    """Check rows (location, clip or image, samples) and convert them to numbers."""
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
    """Parse a list of at least one integer, such as `"[33, 35, 31]"`.

    Raises:
        ValueError: it is not such a list.
        RecursionError: brackets are nested too deeply.
    """
    samples = json.loads(text)
    if not isinstance(samples, list) or not samples:
        raise ValueError(f"{text!r} is not a list of levels")
    if not all(type(sample) is int for sample in samples):
        raise ValueError(f"{text!r} has a value that is not an integer")
    return samples
