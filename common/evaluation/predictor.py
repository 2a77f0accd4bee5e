"""Evaluation of a predictor: levels of images, and errors if the true levels are known."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError, printable, say
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


def evaluate_predictor(
    predictor: Predictor,
    split: Split,
    result_path: Path,
    *,
    batch_size: int,
    skip_bad: bool,
    overwrite: bool = False,
) -> None:
    """Predict the levels of a test split, print a summary, and write the results.

    The files in `result_path` are test_results.csv (only levels, as the published code writes
    them); test_predictions.csv (with a header and image names); test_metrics.csv, if levels are
    known; and, with a manifest, test_frames.png: at most `FEW` images, each next to its encode at
    the first predicted level. Earlier results are replaced, but other files only with `overwrite`.

    Raises:
        UserError: an image cannot be read and `skip_bad` is false; or as `check_results` or
            `Predictor.predict`.
    """
    names = predictor.names
    prefix = "" if predictor.description.multitask else names[0]
    how = result_path, OF_PREDICTOR, overwrite, prefix
    check_results(*how)
    table = _tabulate(predictor, split, batch_size, skip_bad)
    results, predictions, metrics, frames = clear_results(*how)
    write_csv(table[names], results, header=False, float_format="%.6f")
    write_csv(table, predictions, float_format="%.6f")
    say(f"{len(table)} images, {len(split.images) - len(table)} skipped: {predictions}")
    few = _select_few(table, names)
    print(_format_images(few, names))
    if len(few) < len(table):
        known = f"{names[0]}_label" in table
        which = f"{FEW} with the largest errors" if known else f"first {FEW}"
        say(f"(the {which}; all are in {predictions})")
    if split.levels is not None:
        contents = split.contents[table.index]
        errors = {
            name: prediction_errors(table[name], table[f"{name}_label"], contents) for name in names
        }
        errors = pd.DataFrame(errors).T
        write_csv(errors.rename_axis("level").reset_index(), metrics, float_format="%.6g")
        print(_format_errors(errors, "contents" if split.labels else "images"))
        if split.proxy_labels:
            say(f"Labels: {split.proxy_labels}.")
    if split.labels and not split.coded:
        _write_frames(frames, split, few, names[0])
        say(f"each image next to its encode at the predicted {names[0]}: {frames}")


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


def _format_images(table: pd.DataFrame, names: list[str]) -> str:
    """Format the levels of each image and, if known, the true levels and errors."""
    shown = table.image.map(printable)
    width = max(len("image"), *shown.str.len())
    known = f"{names[0]}_label" in table
    lines = ["image".ljust(width) + "".join(f"{n:>7}{'   true  error' * known}" for n in names)]
    for index, row in table.iterrows():
        lines.append(shown[index].ljust(width))
        for name in names:
            lines[-1] += f"{row[name]:7.1f}"
            if known:
                label = row[f"{name}_label"]
                lines[-1] += f"{label:7.1f}{row[name] - label:+7.1f}"
    return "\n".join(lines)


def _format_errors(errors: pd.DataFrame, drawn: str) -> str:
    """Format the errors of each level, and their mean; the bootstrap drew `drawn`."""
    count = errors.contents.iloc[0]
    heading = f"mean error (95 % interval, over {count:.0f} {drawn})"
    lines = [f"level  {heading}  error of always answering the median of these labels"]
    for level, row in errors.iterrows():
        interval = f"({row.mean_absolute_error_low:.2f} to {row.mean_absolute_error_high:.2f})"
        error = f"{row.mean_absolute_error:5.2f}  {interval if count > 1 else '(unknown)'}"
        baseline = f"{row.median_label_error:5.2f}  (median {row.median_label:g})"
        lines.append(f"{level:7}{error:{len(heading)}}  {baseline}")
    if len(errors) > 1:
        error, baseline = errors.mean()[["mean_absolute_error", "median_label_error"]]
        ratio = f"(ratio {error / baseline:.2f})" if baseline else ""
        lines.append(
            f"mean   {error:5.2f}{'':{len(heading) - 5}}  {baseline:5.2f}  {ratio}".rstrip()
        )
    return "\n".join(lines)


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
