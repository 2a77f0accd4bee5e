"""Baselines of the model card: regressions on a few numbers, which a model has to beat."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

FOLDS = 5
Predict = Callable[[np.ndarray], np.ndarray]


def fit_gradients(gradients: np.ndarray, levels: np.ndarray, contents: np.ndarray) -> dict:
    """Fit three regressions of levels [pictures, 3] on gradient percentiles [pictures, 44].

    Settings are chosen by cross-validation over `contents`.

    Returns:
        By title, a function from gradient percentiles to levels.
    """
    squares = FunctionTransformer(lambda values: np.hstack([values, values**2]))
    ridge = make_pipeline(StandardScaler(), squares, StandardScaler(), Ridge())
    kernel = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf"))
    boosting = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0))
    grids: dict[str, tuple[Any, dict]] = {
        "ridge regression": (ridge, {"ridge__alpha": np.logspace(-3, 5, 17)}),
        "kernel ridge regression": (
            kernel,
            {
                "kernelridge__alpha": (0.003, 0.01, 0.03, 0.1),
                "kernelridge__gamma": np.array([0.05, 0.1, 0.2, 0.4]) / gradients.shape[1],
            },
        ),
        "boosted trees": (boosting, {"estimator__max_leaf_nodes": (8, 31)}),
    }
    return {
        title: _search(model, grid, gradients, levels, contents)
        for title, (model, grid) in grids.items()
    }


def fit_trial_encode(vmaf: np.ndarray, levels: np.ndarray, contents: np.ndarray) -> Predict:
    """Fit a cubic of the VMAF [pictures, 1] of one encode."""
    cubic = PolynomialFeatures(3, include_bias=False)
    model = make_pipeline(StandardScaler(), cubic, StandardScaler(), Ridge())
    return _search(model, {"ridge__alpha": np.logspace(-3, 2, 11)}, vmaf, levels, contents)


def _search(model, grid: dict, inputs: np.ndarray, levels: np.ndarray, contents) -> Predict:
    # Centred, so that a kernel regression gives the mean far away from all pictures.
    mean = levels.mean(axis=0)
    search = GridSearchCV(
        model, grid, scoring="neg_mean_absolute_error", cv=GroupKFold(FOLDS), n_jobs=1
    )
    search.fit(inputs, levels - mean, groups=contents)
    return lambda others: search.predict(others) + mean
