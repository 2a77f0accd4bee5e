"""Fitting of the regression on picture statistics, and of its weight beside a model's head."""

import dataclasses

import numpy as np

from ..models.regression import Regression

# Chosen by the error on photographs of collections that were left out of the fit.
GAMMA, RIDGE = 0.1, 0.01
SHARES = np.linspace(0, 1, 21)
# The fraction of fitted pictures that are unfamiliar to a regression on the other contents.
_UNFAMILIAR = 0.01


def fit_regression(
    statistics: np.ndarray, levels: np.ndarray, contents: np.ndarray, share: float = 1.0
) -> Regression:
    """Fit a kernel ridge regression with the kernel exp(-GAMMA x squared distance / statistics).

    Args:
        statistics: float32 [pictures, statistics]; of equal rows, the first is used.
        levels: float32 [pictures, levels].
        contents: str [pictures], shared by versions of one picture.
        share: weight of the regression's levels beside the head's.
    """
    _, first = np.unique(statistics, axis=0, return_index=True)
    statistics, levels, contents = statistics[first], levels[first], contents[first]
    mean, scale = statistics.mean(axis=0), np.maximum(statistics.std(axis=0), 1e-6)
    offset = levels.mean(axis=0)
    regression = Regression(
        mean=mean,
        scale=scale,
        points=(statistics - mean) / scale,
        coefficients=np.zeros_like(levels),
        offset=offset,
        gamma=GAMMA / statistics.shape[1],
        share=share,
        familiar=0.0,
    )
    kernel = regression.similarities(statistics).astype(np.float64)
    ridge = RIDGE * np.eye(len(kernel))
    coefficients = np.linalg.solve(kernel + ridge, levels - offset).astype(np.float32)
    kernel[contents[:, np.newaxis] == contents] = 0
    familiar = float(np.quantile(kernel.max(axis=1), _UNFAMILIAR))
    return dataclasses.replace(regression, coefficients=coefficients, familiar=familiar)


def choose_share(
    regression: Regression, statistics: np.ndarray, levels: np.ndarray, predicted: np.ndarray
) -> float:
    """Choose the weight of the regression's levels beside the head's by the mean absolute error.

    Args:
        regression: fitted on other contents.
        predicted: the head's levels, float32 [pictures, levels].
    """
    of_regression = regression.predict(statistics)
    errors = [
        np.abs(share * of_regression + (1 - share) * predicted - levels).mean() for share in SHARES
    ]
    return float(SHARES[np.argmin(errors)])
