"""Building of the report: a folder with tables, plots and the page."""

import datetime
import logging
import re
from pathlib import Path

import numpy as np

from ...base.errors import UserError
from ...base.files import atomic_write
from ...data.split import Split
from ...inference.runtime import AUTO, choose_runtime, fingerprint
from ...models.weights import read_recorded_labels, read_weight_file
from ..results import Results, check_results, clear_results, write_csv
from ..speed import describe_machine
from . import bitstream, paper
from .baselines import predict_baselines
from .candidates import Candidate
from .complexity import measure_complexity
from .encodes import measure_encodes
from .page import choose_model, make_gallery, write_page
from .plots import FILES, write_plots
from .predictions import Predictions, predict_all
from .table import Table, markdown
from .viewers import Viewers

TABLES, PAGE = "tables.md", "report.html"
RESULTS: Results = {
    TABLES: re.compile(b"## (Prediction error\n\nAbsolute|Complexity\n\nWeights)"),
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
_log = logging.getLogger(__name__)


def build_report(
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

    Predictions, encodes and costs are stored in `cache`, which runs may share, so an interrupted
    run can be continued. Only the times of baselines and bitstreams are measured again.

    Args:
        train: the split to fit the baselines on; None: no baselines.
        command: the command that the user ran, to be recorded in the files.
        overwrite: whether to replace files in `out` that this program did not write.

    Raises:
        UserError: as `check_results`, `Split.check_codec` or `predict_all`, or an image cannot be
            read.
    """
    check_results(out, RESULTS, overwrite)
    _check_codecs(split, candidates)
    _log.info("Predicting the levels of %s images.", len(split.images))
    predictions, candidates = predict_all(candidates, split.images, cache)
    refined = {
        each.description.title for each in candidates if read_weight_file(each.file).regression
    }
    tables = _make_tables(split, train, predictions, refined, viewers, cache)
    tables += bitstream.tabulate_bitstream(split, candidates, cache)
    at_median = measure_encodes(split, np.median(split.true("JND1")), cache, "median JND1")
    model = choose_model(tables[0].values, {title for title, _ in predictions})
    gallery = make_gallery(split, predictions, model, cache)
    _log.info("Writing the tables, plots and the page.")
    write_tables(tables, out, command, overwrite)
    plots = write_plots(out, split, predictions, at_median.bits_per_pixel.to_numpy())
    facts = _list_facts(command, split, candidates)
    write_page(out / PAGE, split, model, tables, plots, gallery, facts)
    return tables[0]


def _check_codecs(split: Split, candidates: list[Candidate]) -> None:
    """Check that the candidates predict levels of the split's codec, as far as they record it."""
    for candidate in candidates:
        try:
            codec = read_recorded_labels(candidate.file).codec
        except UserError:
            continue  # `predict_all` reports it
        split.check_codec(codec, candidate.file)


def _make_tables(
    split: Split,
    train: Split | None,
    predictions: Predictions,
    refined: set[str],
    viewers: Viewers | None,
    cache: Path,
) -> list[Table]:
    """Make the paper's tables, the prediction errors first.

    The CPU time of a network is not that of the `refined` models, whose regressions measure the
    whole picture.
    """
    _log.info("Measuring the cost of a prediction.")
    costs = measure_complexity({title for title, _ in predictions}, split, cache)
    _log.info("Fitting the baselines.")
    baselines = predict_baselines(train, split, cache)
    of_networks = dict(zip(costs.values.model, costs.values.cpu_seconds))
    cpu_seconds = {title: each for title, each in of_networks.items() if title not in refined}
    cpu_seconds |= baselines.cpu_seconds
    all_predictions = predictions | baselines.predictions
    _log.info("Encoding at the predicted levels, and measuring.")
    return [
        paper.prediction_error(split, all_predictions, viewers, cpu_seconds),
        paper.quality_error(split, predictions, cache),
        paper.bitrate(split, predictions, cache),
        costs,
    ]


def _list_facts(command: str, split: Split, candidates: list[Candidate]) -> dict[str, str]:
    """List the circumstances of the run for the page."""
    return {
        "Command": command,
        "Machine": describe_machine(),
        "Date": _now(),
        "Data": split.caption,
        "Weights": ", ".join(dict.fromkeys(str(candidate.file) for candidate in candidates)),
        "Encoded and measured with": split.codec.version(),
        "Predicted with": fingerprint(choose_runtime(AUTO, "float32")),
    }


def write_tables(tables: list[Table], out: Path, command: str, overwrite: bool = False) -> None:
    """Write tables.md and a CSV file per table to `out`, and remove all earlier results there."""
    clear_results(out, RESULTS, overwrite)
    for table in tables:
        write_csv(table.values, out / f"{table.name}.csv", float_format="%.6g")
    made_by = f"Made by `{command}` on {describe_machine()}, {_now()}."
    with atomic_write(out / TABLES) as temporary:
        text = "\n".join([*map(markdown, tables), made_by]) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _now() -> str:
    return datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
