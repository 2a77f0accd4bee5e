"""The files that a run leaves: its results, and what the next run may take up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.arrays import read_arrays
from common.files import checksum, replaced

_LARGEST = 2**28  # bytes: frames' streams and levels take less


def cleared(folder: Path, names: Iterable[str]) -> list[Path]:
    """The paths of all files of one kind of result, none of which is there any more.

    To be asked for once everything is known and before the first is written: then no run, killed at
    whatever moment, leaves a file of its own beside one that tells of other data.
    """
    paths = [folder / name for name in names]
    for path in paths:
        path.unlink(missing_ok=True)
    return paths


def write_csv(table: pd.DataFrame, path: Path, **options: Any) -> None:
    """Write `table` without its index, whole or not at all; `options` are those of `to_csv`."""
    with replaced(path) as beside:
        table.to_csv(beside, index=False, encoding="utf-8", **options)


def kept(path: Path, *names: str) -> list[np.ndarray] | None:
    """The arrays `names` in a file of `common.files.write_arrays`.

    None where there is no such file or a damaged one: what it held is to be made again.
    """
    try:
        arrays = read_arrays(path, _LARGEST)
        return [arrays[name] for name in names]
    except (OSError, ValueError, KeyError, MemoryError):
        return None


def digest(path: Path) -> str:
    """A checksum of a file's bytes, as a name."""
    return checksum([path.read_bytes()])[:32]
