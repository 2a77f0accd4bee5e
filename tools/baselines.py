"""Baselines of the model card: regressions on gradients, which a model has to beat."""

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.evaluation.report.baselines import SQUARES, Predict, fit_ridge, search


def fit_gradients(
    gradients: np.ndarray, levels: np.ndarray, contents: np.ndarray
) -> dict[str, Predict]:
    """Fit three regressions of levels [pictures, 3] on gradient percentiles [pictures, 44].

    Settings are chosen by cross-validation over `contents`.

    Returns:
        By title, a function from gradient percentiles to levels.
    """
    kernel = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf"))
    of_kernel: dict[str, Any] = {
        "kernelridge__alpha": (0.003, 0.01, 0.03, 0.1),
        "kernelridge__gamma": np.array([0.05, 0.1, 0.2, 0.4]) / gradients.shape[1],
    }
    boosting = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0))
    of_boosting = {"estimator__max_leaf_nodes": (8, 31)}
    given = gradients, levels, contents
    return {
        "ridge regression": fit_ridge(SQUARES, *given),
        "kernel ridge regression": search(kernel, of_kernel, *given),
        "boosted trees": search(boosting, of_boosting, *given),
    }
