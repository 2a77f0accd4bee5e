"""How far predicted levels are from the true ones."""

from __future__ import annotations

import numpy as np


def bootstrap_interval(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The percentile-bootstrap confidence interval of the mean of `values` [count].

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    random = np.random.default_rng(seed)
    # One resample at a time: all at once would take gigabytes for a large test set.
    means = [random.choice(values, len(values)).mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def level_errors(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Errors of one level's predictions [images], in the levels' own unit (QP or quality factor).

    The median label, always predicted, is what any model has to beat; it is the median of `true`.
    """
    errors = np.abs(predicted - true)
    low, high = bootstrap_interval(errors)
    median = np.median(true)
    return {
        "images": len(true),
        "mean_absolute_error": float(errors.mean()),
        "interval_low": low,
        "interval_high": high,
        "median_label": float(median),
        "median_label_error": float(np.abs(true - median).mean()),
    }
