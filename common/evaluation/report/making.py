"""From a test split and weight files to the folder of tables, plots and the page."""

import datetime
import re
from pathlib import Path

import numpy as np

from ...base.files import atomic_write
from ...base.framework import tf
from ...data.split import Split
from ..results import Results, check_results, clear_results, write_csv
from ..speed import describe_machine
from . import bitstream, paper
from .candidates import Candidate
from .coding import measured
from .complexity import complexity
from .page import best_model, gallery, write_page
from .plots import FILES, write_plots
from .predictions import predict_all
from .rivals import rivals
from .table import Table, markdown
from .viewers import Viewers

TABLES, PAGE = "tables.md", "report.html"
RESULTS: Results = {
    TABLES: re.compile(b"## (Prediction error\n\nAbsolute|Complexity\n\nWeights in)"),
    PAGE: re.compile(
        rb"<!DOCTYPE html>.{0,500}?name=\"generator\" content=\"LASeR-JND\"", re.DOTALL
    ),
    "prediction_error.csv": re.compile(b"model,level,frames,"),
    "quality_error.csv": re.compile(b"model,level,psnr_error,"),
    "bitrate.csv": re.compile(b"levels,kbit_per_frame,"),
    "complexity.csv": re.compile(b"model,weights,conv,"),
    "bitstream.csv": re.compile(b"JND1,JND2,JND3,model,"),
    **FILES,
}


def make_report(
    split: Split,
    train: Split | None,
    candidates: list[Candidate],
    viewers: Viewers | None,
    out: Path,
    cache: Path,
    command: str,
    overwrite: bool = False,
) -> Table:
    """Measure the candidates on `split`, write everything to `out`, and return the errors.

    Each prediction, encode and cost is kept in `cache`, so an interrupted run continues where it
    stopped, and runs may share the cache. Only the times of the baselines and strings are measured
    again.

    Args:
        train: training split of the baselines without a network; None: leave those out.
        command: the command that the user ran, to be recorded in the files.
        overwrite: also replace files in `out` that this program did not make.

    Raises:
        UserError: as `check_results` or `predict_all`, or an image cannot be read.
    """
    check_results(out, RESULTS, overwrite)
    predictions, candidates = predict_all(candidates, split.images, cache)
    titles = {title for title, _ in predictions}
    costs = complexity(titles, split, cache)
    simple = rivals(train, split, cache)
    cpu_seconds = dict(zip(costs.values.model, costs.values.cpu_seconds)) | simple.cpu_seconds
    tables = [
        paper.prediction_error(split, predictions | simple.predictions, viewers, cpu_seconds),
        paper.quality_error(split, predictions, cache),
        paper.bitrate(split, predictions, cache),
        costs,
    ]
    tables += bitstream.from_strings(split, candidates, cache)
    at_median = measured(split, np.median(split.true("JND1")), cache, "median JND1")
    errors = tables[0].values
    best = best_model(errors[errors.model.isin(titles)])
    frames = gallery(split, predictions, best, cache)
    write_tables(tables, out, command, overwrite)
    plots = write_plots(out, split, predictions, at_median.bits_per_pixel.to_numpy())
    write_page(out / PAGE, split, best, tables, plots, frames, _facts(command, split, candidates))
    return tables[0]


def _facts(command: str, split: Split, candidates: list[Candidate]) -> dict[str, str]:
    """Facts for the page: the command, the data and the machine."""
    return {
        "Command": command,
        "Machine": describe_machine(),
        "Made": _now(),
        "Data": split.caption,
        "Weights": ", ".join(dict.fromkeys(str(candidate.file) for candidate in candidates)),
        "Coded and measured by": split.codec.version(),
        "Predicted by": f"TensorFlow {tf.__version__}",
    }


def write_tables(tables: list[Table], out: Path, command: str, overwrite: bool = False) -> None:
    """Write tables.md, and each table's CSV, to the folder `out`, where no other result stays."""
    clear_results(out, RESULTS, overwrite)
    for table in tables:
        write_csv(table.values, out / f"{table.name}.csv", float_format="%.6g")
    made_by = f"Made by `{command}` on {describe_machine()}, {_now()}."
    with atomic_write(out / TABLES) as beside:
        text = "\n".join([*map(markdown, tables), made_by]) + "\n"
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def _now() -> str:
    return datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
