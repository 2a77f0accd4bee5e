"""Evaluation of a predictor: levels of images, and errors if the true levels are known."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from ..base.progress import Progress
from ..data.frames import read_frame
from ..data.side_by_side import write_side_by_side
from ..data.split import Split
from ..inference.predictor import Predictor
from ..inference.records import Prediction
from ..video.quality import measure
from .metrics import prediction_errors
from .results import OF_PREDICTOR, check_results, clear_results, write_csv

_log = logging.getLogger(__name__)

# Images that are printed: those with the largest errors or, without true levels, the first.
FEW = 10


class PredictorResults(NamedTuple):
    """The levels and errors of a test split, and where they are written."""

    table: pd.DataFrame  # image, levels and, if known, labels of each image that can be read
    few: pd.DataFrame  # the `FEW` rows with the largest errors or, without labels, the first
    errors: pd.DataFrame | None  # `prediction_errors` by level
    predictions: Path
    frames: Path | None


def evaluate_predictor(
    predictor: Predictor,
    split: Split,
    result_path: Path,
    *,
    batch_size: int,
    skip_bad: bool,
    overwrite: bool = False,
) -> PredictorResults:
    """Predict the levels of a test split, and write the results.

    The files in `result_path` are test_results.csv (only levels, as the published code writes
    them); test_predictions.csv (with a header and image names); test_metrics.csv, if levels are
    known; and, with a manifest, test_frames.png: at most `FEW` images, each next to its encode at
    the first predicted level. Earlier results are replaced, but other files only with `overwrite`.

    Raises:
        UserError: the split's levels are of another codec than the predictor's, or an image cannot
            be read and `skip_bad` is false; or as `check_results` or `Predictor.predict`.
    """
    split.check_codec(predictor.labels.codec, predictor.weights)
    names = predictor.names
    prefix = "" if predictor.description.multitask else names[0]
    files = result_path, OF_PREDICTOR, overwrite, prefix
    check_results(*files)
    table = _tabulate(predictor, split, batch_size, skip_bad)
    few, errors = _select_few(table, names), None
    results, predictions, metrics, frames = clear_results(*files)
    write_csv(table[names], results, header=False, float_format="%.6f")
    write_csv(table, predictions, float_format="%.6f")
    if split.levels is not None:
        contents = split.contents[table.index]
        errors = pd.DataFrame(
            prediction_errors(table[name], table[f"{name}_label"], contents) for name in names
        ).set_index(pd.Index(names, name="level"))
        write_csv(errors.reset_index(), metrics, float_format="%.6g")
    with_frames = bool(split.labels) and not split.coded
    if with_frames:
        _write_frames(frames, split, few, names[0])
    return PredictorResults(table, few, errors, predictions, frames if with_frames else None)


def _tabulate(predictor: Predictor, split: Split, batch_size: int, skip_bad: bool) -> pd.DataFrame:
    """Tabulate the name, levels and, if known, labels of each readable image.

    The table's index is that of the images in the split.
    """
    images, failures = split.images, []
    levels = pd.DataFrame(np.nan, range(len(images)), predictor.names, np.float32)
    predictions = predictor.predict(images, "stretched", batch_size)
    for index, each in enumerate(Progress(predictions, "test", len(images), unit="frame")):
        if isinstance(each, Prediction):
            levels.loc[index] = each.levels
        elif skip_bad:
            failures.append(each)
        else:
            raise UserError(f"{each.error}; --skip_bad skips such images")
    for failure in failures:
        _log.error("skipped %s", failure.error)
    table = levels
    if split.levels is not None:
        for name in predictor.names:
            table[f"{name}_label"] = split.true(name)
    table.insert(0, "image", split.names)
    table = table.dropna()
    if table.empty:
        raise UserError(f"{split.root / 'test'}: none of the {len(failures)} images can be read")
    return table


def _select_few(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Select the `FEW` rows with the largest errors, in order; without labels, the first ones."""
    if len(table) <= FEW or f"{names[0]}_label" not in table:
        return table[:FEW]
    errors = sum((table[name] - table[f"{name}_label"]).abs() for name in names)
    return table.loc[sorted(errors.nlargest(FEW).index)]


def _write_frames(path: Path, split: Split, table: pd.DataFrame, level: str) -> None:
    """Write each image, as the model saw it, next to its encode at the predicted `level`."""
    codec, rows = split.codec, []
    for index, row in table.iterrows():
        frame = read_frame(split.images[index])[..., ::-1]
        stream = codec.encode(frame, codec.nearest(row[level]))
        caption = f"{codec.unit} {row[level]:.1f}"
        if f"{level}_label" in row:
            caption += f" (true: {row[f'{level}_label']:g})"
        seen = codec.decode(stream)
        decibels = measure(frame, seen, ["psnr"])["psnr"]
        rate = 8 * len(stream) / (HEIGHT * WIDTH)
        caption += f", {rate:.2f} bits per pixel, {decibels:.1f} dB"
        rows.append([(row.image, frame), (caption, seen)])
    title = [f"Left: the image. Right: encoded at the predicted {level}, as a whole number."]
    if split.labels and f"{level}_label" in table:
        title.append(f"True levels: {split.labels.describe()}.")
    write_side_by_side(path, rows, title)
