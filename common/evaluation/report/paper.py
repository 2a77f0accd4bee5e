"""The paper's tables: prediction error, quality error and bitrate."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...base.constants import LEVELS, QP
from ...data.split import Split
from ...models.descriptions import MODELS
from ..metrics import mean_with_interval, prediction_errors
from .encodes import METRICS, find_best_constant, measure_encodes
from .predictions import Predictions, select_level
from .table import Table
from .viewers import Viewers, label_floor

# Mean absolute errors of the paper for JND1 on VideoSet, in QP and in dB of PSNR.
PUBLISHED = {"mean_absolute_error": 1.57, "psnr_error": 0.72}
PUBLISHED_FOR = [model.title for model in MODELS.values() if model.multitask]
MEDIAN = "median label"
INTERVALS = "Intervals are 95 %, by bootstrap over contents."
BASELINES = (
    "Baselines, if the dataset has a train split, are ridge regressions fitted on it: on "
    "percentiles of gradients, and on the quality of one trial encode; a model has to beat those, "
    "too. CPU seconds are per frame, from its file on."
)


def prediction_error(
    split: Split,
    predictions: Predictions,
    viewers: Viewers | None,
    cpu_seconds: dict[str, float],
) -> Table:
    """Tabulate the errors of predicted levels, next to everything to compare them with.

    Args:
        predictions: those of the models and of the baselines.
        viewers: None: the label floor is unknown.
        cpu_seconds: CPU seconds per frame by title, if measured.
    """
    unit = split.codec.unit
    floor, floors = _label_floors(split, viewers)
    values = _measure_errors(split, predictions, floors, cpu_seconds)
    published = values.published.notna().any()
    note = "Published: on VideoSet's labels, but other frames. " if published else ""
    return Table(
        "prediction_error",
        "Prediction error",
        f"Absolute error in {unit}, and Spearman's rank correlation. Compare with always answering "
        f"the median label: 'fraction' is the model's mean error divided by the median label's. "
        f"{BASELINES} {floor} {note}{INTERVALS} {split.caption}",
        values,
        {
            "Model": "{model}",
            "Level": "{level}",
            f"Mean error, {unit}": "{mean_absolute_error:.2f}",
            "95 % interval": "{mean_absolute_error_low:.2f} to {mean_absolute_error_high:.2f}",
            "Median": "{median_error:.2f}",
            "90th pct.": "{percentile_90_error:.2f}",
            "Rank corr.": "{rank_correlation:.2f}",
            "Median label's": "{median_label_error:.2f}",
            "Fraction": "{fraction_of_median_label_error:.2f}",
            "Label floor": "{label_floor:.2f}",
            "CPU s": "{cpu_seconds:.2f}",
            **({"Published": "{published:.2f}"} if published else {}),
        },
    )


def _measure_errors(
    split: Split,
    predictions: Predictions,
    floors: dict[str, float],
    cpu_seconds: dict[str, float],
) -> pd.DataFrame:
    """Compute the errors of each model and level, and what to compare them with.

    Label floors are by level and CPU seconds by title; where either is missing, it is NaN.
    """
    return pd.DataFrame(
        {
            "model": title,
            "level": level,
            **prediction_errors(predicted, split.true(level), split.contents),
            "label_floor": floors.get(level, np.nan),
            "published": _find_published("mean_absolute_error", split, title, level),
            "cpu_seconds": cpu_seconds.get(title, np.nan),
        }
        for (title, level), predicted in predictions.items()
    )


def _label_floors(split: Split, viewers: Viewers | None) -> tuple[str, dict[str, float]]:
    """Compute the label floor of each level, and describe it in a sentence."""
    if not viewers:
        return "The uncertainty of the labels is unknown without --labels.", {}
    floors = {
        level: label_floor(samples, viewers.statistic, split.codec_name != QP)
        for level, samples in zip(LEVELS, zip(*viewers.samples))
    }
    contents = f"{len(viewers.samples)} contents"
    return (
        f"Label floor: how far the labels move when viewers are resampled ({contents}).",
        floors,
    )


def quality_error(split: Split, predictions: Predictions, cache: Path) -> Table:
    """Tabulate how far the quality at predicted levels is from the quality at the true ones."""
    rows = []
    for level in dict.fromkeys(level for _, level in predictions):
        at_true = measure_encodes(split, split.true(level), cache, f"true {level}")
        for title, levels in _with_median(split, predictions, level).items():
            at_levels = measure_encodes(split, levels, cache, f"{title} {level}")
            row: dict[str, Any] = {"model": title, "level": level}
            for metric in METRICS:
                differences = (at_levels[metric] - at_true[metric]).abs().to_numpy()
                row |= mean_with_interval(f"{metric}_error", differences, split.contents)
            rows.append({**row, "published": _find_published("psnr_error", split, title, level)})
    values = pd.DataFrame(rows)
    return Table(
        "quality_error",
        "Quality error",
        "Absolute difference between each frame coded at the predicted level and at the true one, "
        "both rounded to whole levels: mean and interval. Compare with coding at the median label. "
        f"PSNR and SSIM are of luma. {split.codec.version()}. {INTERVALS} {split.caption}",
        values,
        {
            "Model": "{model}",
            "Level": "{level}",
            "PSNR, dB": "{psnr_error:.2f} ({psnr_error_low:.2f} to {psnr_error_high:.2f})",
            "SSIM": "{ssim_error:.4f} ({ssim_error_low:.4f} to {ssim_error_high:.4f})",
            "VMAF": "{vmaf_error:.2f} ({vmaf_error_low:.2f} to {vmaf_error_high:.2f})",
            **({"Published, dB": "{published:.2f}"} if values.published.notna().any() else {}),
        },
    )


def bitrate(split: Split, predictions: Predictions, cache: Path) -> Table:
    """Tabulate the bits that predicted JND1 levels save, and how many frames are too coarse."""
    codec, true = split.codec, split.true("JND1")
    true_bits = measure_encodes(split, true, cache, "true JND1").bits.mean()

    @functools.cache
    def measure_constant(level: int) -> pd.DataFrame:
        return measure_encodes(split, level, cache, f"{codec.unit} {level}")

    def row(title: str, levels: np.ndarray) -> dict[str, Any]:
        mean = measure_encodes(split, levels, cache, f"{title} JND1").mean()
        constant, constant_bits = find_best_constant(measure_constant, mean.vmaf, codec.levels)
        return {
            "levels": title,
            "kbit_per_frame": mean.bits / 1000,
            "vmaf": mean.vmaf,
            "constant": constant,
            "constant_kbit_per_frame": constant_bits / 1000,
            "bits_over_constant_percent": 100 * (mean.bits / constant_bits - 1),
            "bits_over_true_percent": 100 * (mean.bits / true_bits - 1),
            **_count_noticed(split, levels),
        }

    of_titles = {**_with_median(split, predictions, "JND1"), "true levels": true}
    return Table(
        "bitrate",
        "Bits saved",
        f"Frames coded at each predictor's JND1 level, against the one constant {codec.unit} for "
        "all frames with the same average VMAF (interpolated between whole levels), and against "
        "the true JND1; negative saves bits. Noticed: frames coded coarser than their true JND1, "
        f"where viewers would notice a change, and by how many steps of {codec.unit}. True levels "
        f"show what a perfect predictor would save. {codec.version()}. {split.caption}",
        pd.DataFrame([row(title, levels) for title, levels in of_titles.items()]),
        {
            "Levels of": "{levels}",
            "kbit per frame": "{kbit_per_frame:.1f}",
            "VMAF": "{vmaf:.2f}",
            f"Constant {codec.unit}": "{constant:.2f}",
            "Bits against constant": "{bits_over_constant_percent:+.1f} %",
            "Bits against true": "{bits_over_true_percent:+.1f} %",
            "Noticed": "{noticed_percent:.0f} %",
            "By, mean": "{mean_excess:.1f}",
            "By, most": "{largest_excess:.0f}",
        },
    )


def _count_noticed(split: Split, levels: np.ndarray) -> dict[str, float]:
    """Count the frames that are coarser than at JND1, and by how much: NaN if there are none."""
    codec, true = split.codec, split.true("JND1")
    nearest = np.vectorize(codec.nearest)
    excess = codec.coarser_by(nearest(levels), nearest(true))
    noticed = pd.Series(excess[excess > 0], dtype=float)
    return {
        "noticed_percent": 100 * len(noticed) / len(true),
        "mean_excess": noticed.mean(),
        "largest_excess": noticed.max(),
    }


def _with_median(split: Split, predictions: Predictions, level: str) -> dict[str, np.ndarray]:
    """Select each model's levels by its title, and append the median label for all frames."""
    true = split.true(level)
    return {**select_level(predictions, level), MEDIAN: np.full_like(true, np.median(true))}


def _find_published(figure: str, split: Split, title: str, level: str) -> float:
    comparable = split.codec_name == QP and not split.proxy_labels
    known = title in PUBLISHED_FOR and level == "JND1" and comparable
    return PUBLISHED[figure] if known else np.nan
