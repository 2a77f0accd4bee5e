"""How far predicted levels are from the true ones, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.datasets.viewers import aggregate, aggregates


def bootstrap_over_contents(
    values: np.ndarray,
    contents: np.ndarray,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile-bootstrap confidence interval of the mean of `values` [frames].

    Whole contents [frames] are drawn, since frames of one clip are not independent. NaN for a
    single content, of which no spread can be told.

    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
    """
    _, number = np.unique(contents, return_inverse=True)
    frames, sums = np.bincount(number), np.bincount(number, values)
    count = len(frames)
    if count < 2:
        return np.nan, np.nan
    # How often each content is drawn, a row a resample.
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1 / count), resamples)
    low, high = np.quantile(
        drawn @ sums / (drawn @ frames), [(1 - confidence) / 2, (1 + confidence) / 2]
    )
    return float(low), float(high)


def mean_with_interval(name: str, values: np.ndarray, contents: np.ndarray) -> dict[str, float]:
    """Mean of `values` [frames] and its 95 % interval: `name`, `name`_low, `name`_high."""
    low, high = bootstrap_over_contents(values, contents)
    return {name: float(np.mean(values)), f"{name}_low": low, f"{name}_high": high}


def prediction_errors(
    predicted: np.ndarray, true: np.ndarray, contents: np.ndarray
) -> dict[str, float]:
    """Errors of one level's predictions [frames], in the levels' own unit (QP or quality).

    Beside them the error of always answering the median of `true`, which any model has to beat.
    The rank correlation is Spearman's; NaN where all predictions or all levels are equal.
    """
    errors = np.abs(predicted - true)
    median = np.median(true)
    baseline = float(np.abs(true - median).mean())
    with np.errstate(invalid="ignore"):
        correlation = pd.Series(predicted).rank().corr(pd.Series(true).rank())
    return {
        **mean_with_interval("mean_absolute_error", errors, contents),
        "median_error": float(np.median(errors)),
        "percentile_90_error": float(np.percentile(errors, 90)),
        "rank_correlation": float(correlation),
        "median_label": float(median),
        "median_label_error": baseline,
        "fraction_of_median_label_error": errors.mean() / baseline if baseline else np.nan,
    }


def label_floor(
    samples: Sequence[Sequence[int]],
    statistic: str = "sur75",
    falling: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> float:
    """How far the labels themselves move when the viewers are resampled: no error can be below it.

    The mean, over contents and resamples, of the absolute difference between the label of as many
    viewers drawn with replacement and the label of the viewers there were.

    Args:
        samples: for each content, one level a viewer.
        statistic, falling: what makes a label of them, as for `common.datasets.viewers.aggregate`.
    """
    random = np.random.default_rng(seed)
    moved = []
    for answers in samples:
        drawn = random.choice(answers, (resamples, len(answers)))
        label = aggregate(list(answers), statistic, falling)
        moved.append(np.abs(aggregates(drawn, statistic, falling) - label).mean())
    return float(np.mean(moved))
