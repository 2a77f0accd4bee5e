"""The files that a run leaves: its results, and what the next run may take up."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..base.arrays import read_arrays
from ..base.files import OUR_PNG, atomic_write, check_writable, checksum
from ..data.text import guard_cells

# The files of each kind of result: the end of the name, and the start of files that are ours.
Results = Mapping[str, re.Pattern[bytes]]
OF_PREDICTOR: Results = {
    "test_results.csv": re.compile(rb"-?\d+\.\d{6}(,-?\d+\.\d{6})*\n"),
    "test_predictions.csv": re.compile(b"image,JND[123]"),
    "test_metrics.csv": re.compile(b"level,frames,contents,"),
    "test_frames.png": OUR_PNG,
}
OF_BACKBONE: Results = {
    "Reconstruction_frames.csv": re.compile(b"image,(bits_per_pixel,)?psnr,ssim"),
    "Reconstruction_metrics.csv": re.compile(b"(bits_per_pixel,)?psnr,ssim"),
    "Reconstruction.png": OUR_PNG,
}

_LARGEST = 2**28  # bytes; streams and levels of frames take less


def check_results(folder: Path, results: Results, overwrite: bool, prefix: str = "") -> None:
    """Check that `clear_results` will succeed, to fail before the work and not after it.

    Raises:
        UserError: as `check_writable`, of one of the files.
    """
    for name, ours in results.items():
        check_writable(folder / f"{prefix}{name}", ours, overwrite)


def clear_results(folder: Path, results: Results, overwrite: bool, prefix: str = "") -> list[Path]:
    """Remove the `results` of an earlier run, and return the paths of all.

    Call this when the computation is finished, before the first result is written. Then even a run
    that is killed leaves no mixture of its own results and those of other data.

    Raises:
        UserError: as `check_results`; nothing is removed then.
    """
    check_results(folder, results, overwrite, prefix)
    paths = [folder / f"{prefix}{name}" for name in results]
    for path in paths:
        path.unlink(missing_ok=True)
    return paths


def write_csv(
    table: pd.DataFrame,
    path: Path,
    ours: re.Pattern[bytes] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Write `table` atomically, without its index; `options` are those of `to_csv`."""
    with atomic_write(path, ours, overwrite) as beside:
        guard_cells(table).to_csv(beside, index=False, encoding="utf-8", **options)


def kept(path: Path, *names: str) -> list[np.ndarray] | None:
    """The arrays `names` in a file of `common.base.files.write_arrays`.

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
