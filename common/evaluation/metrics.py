"""Errors of predicted levels, with confidence intervals."""

import numpy as np
from scipy import stats

# Draws per batch of the bootstrap, which limits its memory to megabytes.
_BATCH = 10**5


def bootstrap_interval(
    values: np.ndarray, contents: np.ndarray, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the percentile-bootstrap confidence interval of the mean of `values` [frames].

    Whole `contents` [frames] are drawn, since frames of one clip are not independent; longer clips
    weigh more. The interval is NaN for a single content, whose spread is unknown.

    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
    """
    _, number = np.unique(contents, return_inverse=True)
    sums, frames = np.bincount(number, values), np.bincount(number)
    if len(sums) < 2:
        return np.nan, np.nan
    interval = stats.bootstrap(
        (sums, frames),
        lambda sums, frames, axis: sums.sum(axis) / frames.sum(axis),
        n_resamples=10_000,
        batch=max(1, _BATCH // len(sums)),
        vectorized=True,
        paired=True,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def mean_with_interval(name: str, values: np.ndarray, contents: np.ndarray) -> dict[str, float]:
    """Compute the mean of `values` [frames] and its 95 % interval, as columns of a table.

    The columns are `name`, `name`_low and `name`_high.
    """
    low, high = bootstrap_interval(values, contents)
    return {name: float(np.mean(values)), f"{name}_low": low, f"{name}_high": high}


def prediction_errors(
    predicted: np.ndarray, true: np.ndarray, contents: np.ndarray
) -> dict[str, float]:
    """Compute the errors of one level's predictions [frames], as columns of a table.

    Errors are in the unit of the levels, QP or JPEG quality. The error of always answering the
    median of `true` is included, which any model has to beat. The rank correlation is Spearman's,
    and NaN if all predictions or all levels are equal.
    """
    errors = np.abs(predicted - true)
    median = np.median(true)
    median_error = float(np.abs(true - median).mean())
    varied = np.ptp(predicted) > 0 and np.ptp(true) > 0
    return {
        "frames": len(errors),
        "contents": len(set(contents)),
        **mean_with_interval("mean_absolute_error", errors, contents),
        "median_error": float(np.median(errors)),
        "percentile_90_error": float(np.percentile(errors, 90)),
        "rank_correlation": float(stats.spearmanr(predicted, true)[0]) if varied else np.nan,
        "median_label": float(median),
        "median_label_error": median_error,
        "fraction_of_median_label_error": errors.mean() / median_error if median_error else np.nan,
    }
