"""The paper's tables: prediction error, quality error, bitrate, complexity."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common.datasets.viewers import Samples
from common.evaluation.report.coding import METRICS, best_constant, measured
from common.evaluation.report.errors import label_floor, mean_with_interval, prediction_errors
from common.evaluation.report.table import Table
from common.evaluation.report.truth import Predictions, Truth
from common.facts import LEVELS, QP
from common.models.descriptions import MODELS

# Mean absolute errors that the paper gives for JND1 on VideoSet: QP, and dB of PSNR.
PUBLISHED = {"mean_absolute_error": 1.57, "psnr_error": 0.72}
PUBLISHED_FOR = [model.title for model in MODELS.values() if model.multitask]
BASELINE = "median label"
INTERVALS = "Intervals are 95 %, by bootstrap over contents."


def prediction_error(
    truth: Truth, predictions: Predictions, viewers: tuple[list[Samples], str] | None
) -> Table:
    """How far each model's levels are from the true ones, beside what they must be compared with.

    Args:
        viewers: what `read_samples` gives; without it the label floor is not known.
    """
    unit = truth.codec.unit
    floors = _floors(truth, viewers)
    rows = [
        {
            "model": title,
            "level": level,
            "frames": len(predicted),
            "contents": len(set(truth.contents)),
            **prediction_errors(predicted, _true(truth, level), truth.contents),
            "label_floor": floors[level],
            "published": _published("mean_absolute_error", truth, title, level),
        }
        for (title, level), predicted in predictions.items()
    ]
    floor = (
        f"Label floor: how far the labels move when the viewers are resampled "
        f"({len(viewers[0])} contents)."
        if viewers
        else "The labels' own uncertainty is not known here: --labels gives it."
    )
    values = pd.DataFrame(rows)
    published = values.published.notna().any()
    told = "Published: on VideoSet's viewers, other frames than these. " if published else ""
    return Table(
        "prediction_error",
        "Prediction error",
        f"Absolute error in {unit}, and Spearman's rank correlation. Compare with always answering "
        f"the median label; of that error, 'fraction' is what the model leaves. {floor} "
        f"{told}{INTERVALS} {truth.caption}",
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
            **({"Published": "{published:.2f}"} if published else {}),
        },
    )


def quality_error(truth: Truth, predictions: Predictions, cache: Path) -> Table:
    """How far the quality of frames coded at predicted levels is from that at the true ones."""
    rows = []
    for level in dict.fromkeys(level for _, level in predictions):
        at_true = _measured(truth, _true(truth, level), cache, f"true {level}")
        rows += [
            {
                "model": title,
                "level": level,
                **_differences(_measured(truth, levels, cache, f"{title} {level}"), at_true, truth),
                "published": _published("psnr_error", truth, title, level),
            }
            for title, levels in _with_baseline(truth, predictions, level).items()
        ]
    values = pd.DataFrame(rows)
    shown = {
        "Model": "{model}",
        "Level": "{level}",
        "PSNR, dB": "{psnr_error:.2f} ({psnr_error_low:.2f} to {psnr_error_high:.2f})",
        "SSIM": "{ssim_error:.4f} ({ssim_error_low:.4f} to {ssim_error_high:.4f})",
        "VMAF": "{vmaf_error:.2f} ({vmaf_error_low:.2f} to {vmaf_error_high:.2f})",
        **({"Published, dB": "{published:.2f}"} if values.published.notna().any() else {}),
    }
    return Table(
        "quality_error",
        "Quality error",
        "Absolute difference between each frame coded at the predicted level and at the true one, "
        "both rounded to whole levels: mean and interval. Compare with coding at the median label. "
        f"PSNR and SSIM are those of luma. {truth.codec.version()}. {INTERVALS} {truth.caption}",
        values,
        shown,
    )


def bitrate(truth: Truth, predictions: Predictions, cache: Path) -> Table:
    """What coding at predicted JND1 levels saves, and how many frames it spoils."""
    codec, unit = truth.codec, truth.codec.unit
    true = _true(truth, "JND1")
    coded_true = _coded(truth, true)
    at_true = _measured(truth, true, cache, "true JND1")

    @functools.cache
    def of_constant(level: int) -> pd.DataFrame:
        return _measured(truth, np.full(len(true), level), cache, f"{unit} {level}")

    rows = []
    for title, levels in {
        **_with_baseline(truth, predictions, "JND1"),
        "true levels": true,
    }.items():
        at_levels = _measured(truth, levels, cache, f"{title} JND1")
        constant, constant_bits = best_constant(of_constant, at_levels.vmaf.mean(), codec.levels)
        excess = codec.coarser_by(_coded(truth, levels), coded_true)
        noticed = excess > 0
        rows.append(
            {
                "levels": title,
                "kbit_per_frame": at_levels.bits.mean() / 1000,
                "vmaf": at_levels.vmaf.mean(),
                "constant": constant,
                "constant_kbit_per_frame": constant_bits / 1000,
                "bits_over_constant_percent": 100 * (at_levels.bits.mean() / constant_bits - 1),
                "bits_over_true_percent": 100 * (at_levels.bits.mean() / at_true.bits.mean() - 1),
                "noticed_percent": 100 * noticed.mean(),
                "mean_excess": excess[noticed].mean() if noticed.any() else np.nan,
                "largest_excess": float(excess[noticed].max()) if noticed.any() else np.nan,
            }
        )
    return Table(
        "bitrate",
        "What it is good for",
        f"Frames coded at each predictor's JND1 level, against the one constant {unit} for all "
        "frames with the same average VMAF (interpolated between whole levels), and against the "
        "true JND1; negative saves bits. Noticed: frames coded coarser than their true JND1, where "
        f"viewers would see a change, and by how many steps of {unit}. True levels show what a "
        f"perfect predictor would save. {codec.version()}. {truth.caption}",
        pd.DataFrame(rows),
        {
            "Levels of": "{levels}",
            "kbit a frame": "{kbit_per_frame:.1f}",
            "VMAF": "{vmaf:.2f}",
            f"Constant {unit}": "{constant:.2f}",
            "Bits against constant": "{bits_over_constant_percent:+.1f} %",
            "Bits against true": "{bits_over_true_percent:+.1f} %",
            "Noticed": "{noticed_percent:.0f} %",
            "By, mean": "{mean_excess:.1f}",
            "By, most": "{largest_excess:.0f}",
        },
    )


def complexity(costs: pd.DataFrame, machine: str, truth: Truth | None = None) -> Table:
    """What a prediction costs; `costs` as `measure_complexity` gives them."""
    return Table(
        "complexity",
        "Complexity",
        "Weights in the file; multiply-accumulates a frame by layer kind, from the graph of a "
        "prediction, zeros of padding included; peak memory and frames a second, from image files "
        f"to levels in float32, measured in this run, each model in a process of its own, on "
        f"{machine}." + (f" {truth.caption}" if truth else ""),
        costs,
        {
            "Model": "{model}",
            "Weights": "{weights:,}",
            "Convolutions": "{conv:,}",
            "Transposed conv.": "{conv_transpose:,}",
            "Dense": "{dense:,}",
            "All": "{multiply_accumulates:,}",
            "Memory, GB": "{peak_memory_gb:.1f}",
            "Frames/s": "{frames_per_second:.2f}",
        },
    )


def _true(truth: Truth, level: str) -> np.ndarray:
    return truth.levels[:, LEVELS.index(level)]


def _coded(truth: Truth, levels: np.ndarray) -> np.ndarray:
    """The whole levels that frames are coded at."""
    return np.array([truth.codec.nearest(level) for level in levels])


def _measured(truth: Truth, levels: np.ndarray, cache: Path, doing: str) -> pd.DataFrame:
    return measured(truth.images, _coded(truth, levels), truth.codec, cache, f"coding, {doing}")


def _with_baseline(truth: Truth, predictions: Predictions, level: str) -> dict[str, np.ndarray]:
    """Each model's levels by its title, and last the median label for all frames."""
    of_models = {title: levels for (title, name), levels in predictions.items() if name == level}
    median = np.full(len(truth.levels), np.median(_true(truth, level)))
    return {**of_models, BASELINE: median}


def _differences(at_levels: pd.DataFrame, at_true: pd.DataFrame, truth: Truth) -> dict[str, float]:
    differences = (at_levels - at_true).abs()
    return {
        name: value
        for metric in METRICS
        for name, value in mean_with_interval(
            f"{metric}_error", differences[metric].to_numpy(), truth.contents
        ).items()
    }


def _floors(truth: Truth, viewers: tuple[Sequence[Samples], str] | None) -> dict[str, float]:
    """The label floor by level; NaN where it is not known."""
    if not viewers:
        return dict.fromkeys(LEVELS, np.nan)
    samples, statistic = viewers
    return {
        level: label_floor([each[number] for each in samples], statistic, truth.codec_name != QP)
        for number, level in enumerate(LEVELS)
    }


def _published(figure: str, truth: Truth, title: str, level: str) -> float:
    known = title in PUBLISHED_FOR and level == "JND1" and truth.codec_name == QP
    return PUBLISHED[figure] if known else np.nan
