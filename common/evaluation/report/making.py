"""From a test split and weight files to the folder of tables, plots and the page."""

from __future__ import annotations

import datetime
import multiprocessing
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.datasets.viewers import Samples
from common.evaluation.report import paper
from common.evaluation.report.candidates import Candidate
from common.evaluation.report.coding import measured
from common.evaluation.report.complexity import measure_complexity
from common.evaluation.report.gallery import best_model, gallery
from common.evaluation.report.page import write_page
from common.evaluation.report.plots import write_plots
from common.evaluation.report.predictions import predict_all
from common.evaluation.report.table import Table, markdown, write_csv
from common.evaluation.report.truth import Truth
from common.evaluation.speed import processor
from common.files import replaced
from common.models.descriptions import MODELS

TABLES, PAGE = "tables.md", "report.html"


def make_report(
    truth: Truth,
    candidates: list[Candidate],
    viewers: tuple[list[Samples], str] | None,
    out: Path,
    cache: Path,
    command: str,
) -> Table:
    """Measure the candidates on `truth` and write everything to `out`; the table of errors.

    Predictions and encodes are kept in `cache` one by one, so a run that was stopped goes on where
    it was, and runs may share it. Memory and frames/s are measured anew.

    Args:
        viewers: what `read_samples` gives, if anything.
        command: what the user ran, to be told in the files.

    Raises:
        UserError: as `predict_all`, or an image cannot be read.
    """
    predictions = predict_all(candidates, truth.images, cache)
    made = [
        paper.prediction_error(truth, predictions, viewers),
        paper.quality_error(truth, predictions, cache),
        paper.bitrate(truth, predictions, cache),
        _complexity({title for title, _ in predictions}, truth),
    ]
    write_tables(made, out, command)
    median = truth.codec.nearest(float(np.median(truth.levels[:, 0])))
    same = [median] * len(truth.images)
    at_median = measured(truth.images, same, truth.codec, cache, "coding, median JND1")
    plots = write_plots(out, truth, predictions, at_median.bits_per_pixel.to_numpy())
    best = best_model(truth, predictions)
    frames = gallery(truth, predictions, best, cache)
    facts = {
        "Command": command,
        "Machine": machine(),
        "Made": _now(),
        "Data": truth.caption,
        "Weights": ", ".join(dict.fromkeys(str(candidate.file) for candidate in candidates)),
        "Coded and measured by": truth.codec.version(),
        "Predicted by": f"TensorFlow {tf.__version__}",
    }
    stand_in = (
        f"No viewer was asked: the levels are an {truth.stand_in}. Do not read these errors as "
        "errors against viewers."
        if truth.stand_in
        else ""
    )
    write_page(
        out / PAGE,
        {
            "root": str(truth.root),
            "caption": truth.caption,
            "stand_in": stand_in,
            "model": best,
            "note": f"{len(frames)} of {len(truth.images)} frames.",
            "unit": truth.codec.unit,
        },
        _figures(made[0], best, truth),
        made,
        plots,
        frames,
        facts,
    )
    return made[0]


def complexity_table() -> Table:
    """What a prediction of each of the six models costs on this machine."""
    return _complexity({model.title for model in MODELS.values()}, None)


def write_tables(made: list[Table], out: Path, command: str) -> None:
    """Write tables.md, and each table's CSV, to the folder `out`."""
    for table in made:
        write_csv(table, out / f"{table.name}.csv")
    with replaced(out / TABLES) as beside:
        beside.write_text(
            "\n".join(map(markdown, made)) + f"\nMade by `{command}` on {machine()}, {_now()}.\n",
            encoding="utf-8",
        )


def machine() -> str:
    """Processor, cores and memory of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{processor()}, {multiprocessing.cpu_count()} cores, {memory:.0f} GB"


def _complexity(titles: set[str], truth: Truth | None) -> Table:
    names = [name for name, model in MODELS.items() if model.title in titles]
    return paper.complexity(measure_complexity(names), machine(), truth)


def _figures(errors: Table, title: str, truth: Truth) -> list[tuple[str, str, str]]:
    """The mean errors of a model, to stand large on the page."""
    rows = errors.values[errors.values.model == title].to_dict("records")
    return [
        (
            f"{row['mean_absolute_error']:.2f}",
            truth.codec.unit,
            f"mean error of {title} for {row['level']}; "
            f"the median label's is {row['median_label_error']:.2f}",
        )
        for row in rows
    ]


def _now() -> str:
    return datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
