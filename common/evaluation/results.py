"""Result files of a run: checked before the work, and replaced together after it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.files import OUR_PNG, atomic_write, check_writable
from ..data.text import guard_cells

if TYPE_CHECKING:
    import pandas as pd

# For each kind of result, the ends of the file names, and patterns that our files begin with.
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


def check_results(folder: Path, results: Results, overwrite: bool, prefix: str = "") -> None:
    """Check that `clear_results` will succeed, so that errors come before the work.

    Raises:
        UserError: as `check_writable`, for one of the files.
    """
    for name, ours in results.items():
        check_writable(folder / f"{prefix}{name}", ours, overwrite)


def clear_results(folder: Path, results: Results, overwrite: bool, prefix: str = "") -> list[Path]:
    """Remove the `results` of an earlier run, and return all their paths.

    Call this between the computation and the first write, so that even a killed run does not mix
    its results with those of other data.

    Raises:
        UserError: as `check_results`; nothing is removed.
    """
    check_results(folder, results, overwrite, prefix)
    paths = [folder / f"{prefix}{name}" for name in results]
    for path in paths:
        path.unlink(missing_ok=True)
    return paths


def write_csv(
    table: "pd.DataFrame",
    path: Path,
    ours: re.Pattern[bytes] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Write `table` atomically, without its index; `options` are those of `to_csv`."""
    with atomic_write(path, ours, overwrite) as temporary:
        guard_cells(table).to_csv(temporary, index=False, encoding="utf-8", **options)
