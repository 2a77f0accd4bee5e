"""Baselines without a network; a model that does not beat them is of no use.

    frame ─┬─ gradients at three scales ─ percentiles ─┐
           └─ one trial encode ─ its quality and bits ─┴─ ridge regression ─ JND1 JND2 JND3

Like a model, each is fitted on ROOT/train and measured on ROOT/test. The strength of the
regularization is chosen by cross-validation over train's contents.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from ...base.constants import LEVELS
from ...base.parallel import parallel_map
from ...base.temporary import temporary_folder
from ...data.frames import read_frame
from ...data.gradients import gradient_percentiles
from ...data.split import Split
from ..cache import cache_file, fetch
from .encodes import measure_encodes
from .predictions import Predictions

# What ridge regressions on gradients, and on figures of one trial encode, are given.
SQUARES = FunctionTransformer(lambda values: np.hstack([values, values**2]))
CUBIC = PolynomialFeatures(3, include_bias=False)
Predict = Callable[[np.ndarray], np.ndarray]  # from inputs to levels
FOLDS = 5  # also the least number of contents in train
TIMED = 4  # number of frames


class Baselines(NamedTuple):
    """The baselines' predictions for the test split, and their CPU seconds per frame by title."""

    predictions: Predictions
    cpu_seconds: dict[str, float]


def predict_baselines(train: Split | None, test: Split, cache: Path) -> Baselines:
    """Fit the baselines on `train` and predict `test`; none if `train` has too few contents.

    Raises:
        UserError: an image cannot be read.
    """
    baselines = Baselines({}, {})
    if not train or len(set(train.contents)) < FOLDS:
        return baselines
    trial = test.codec.nearest(np.median(train.true("JND1")))
    numbers = ["vmaf"] if test.proxy_labels else ["bits_per_pixel", "psnr", "vmaf"]
    names = "VMAF" if test.proxy_labels else "bits, PSNR and VMAF"

    def measure_trial(split: Split, cache: Path) -> np.ndarray:
        trials = measure_encodes(split, trial, cache, f"{split.name}, one trial encode")
        return trials.assign(bits_per_pixel=np.log(trials.bits_per_pixel))[numbers].to_numpy()

    for title, measure, expand in (
        ("baseline: gradients", measure_gradients, SQUARES),
        (f"baseline: one encode at {trial}, its {names}", measure_trial, CUBIC),
    ):
        predict = fit_ridge(expand, measure(train, cache), train.known_levels, train.contents)
        predicted = predict(measure(test, cache)).T
        baselines.predictions.update(zip(((title, level) for level in LEVELS), predicted))
        baselines.cpu_seconds[title] = _time_features(measure, test)
    return baselines


def fit_ridge(
    expand: TransformerMixin, inputs: np.ndarray, levels: np.ndarray, contents: np.ndarray
) -> Predict:
    """Fit a ridge regression of levels [pictures, 3] on standardized, expanded inputs."""
    model = make_pipeline(StandardScaler(), expand, StandardScaler(), Ridge())
    return search(model, {"ridge__alpha": np.logspace(-3, 5, 17)}, inputs, levels, contents)


def search(
    model: BaseEstimator,
    grid: dict[str, Any],
    inputs: np.ndarray,
    levels: np.ndarray,
    contents: np.ndarray,
) -> Predict:
    """Fit a model with the settings that cross-validation over `contents` chooses from a grid."""
    # Centred, so that a kernel regression answers the mean far away from all pictures.
    mean, folds = levels.mean(axis=0), GroupKFold(FOLDS)
    found = GridSearchCV(model, grid, scoring="neg_mean_absolute_error", cv=folds)
    found.fit(inputs, levels - mean, groups=contents)
    return lambda others: found.predict(others) + mean


def measure_gradients(split: Split, cache: Path) -> np.ndarray:
    """Compute `gradient_percentiles` [images, 44], or take them from the cache."""

    def compute(image: Path) -> np.ndarray:
        file = cache_file(cache, "gradients", image)
        return fetch(file, ["percentiles"], lambda: [gradient_percentiles(read_frame(image))])[0]

    return np.array(parallel_map(compute, split.images, f"{split.name}, gradients"))


def _time_features(measure: Callable[[Split, Path], np.ndarray], split: Split) -> float:
    """Measure CPU seconds per frame from image file to features, without the cache."""
    few = dataclasses.replace(split, images=split.images[:TIMED])
    with temporary_folder() as empty:
        before = sum(os.times()[:4])
        measure(few, empty)
        return (sum(os.times()[:4]) - before) / len(few.images)
