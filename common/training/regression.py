"""Fitting of the regression on picture statistics, and of its weight beside a model's head."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import LEVELS, QP
from ..base.errors import UserError
from ..base.progress import Progress
from ..data.split import Split, read_split
from ..data.statistics import read_statistics
from ..inference.predictor import Predictor
from ..inference.records import Failure
from ..models.regression import Regression
from ..models.weights import add_regression

# Chosen by the error on photographs of collections that were left out of the fit.
GAMMA, RIDGE = 0.1, 0.01
SHARES = np.linspace(0, 1, 21)
# The fraction of fitted pictures that are unfamiliar to a regression on the other contents.
_UNFAMILIAR = 0.01


class Refined(NamedTuple):
    """The result of `refine`."""

    share: float  # weight of the regression's levels beside the model's
    errors: dict[str, np.ndarray]  # mean absolute errors [levels] on valid, by who predicts


def refine(predictor: Predictor, root: Path, out: Path, overwrite: bool = False) -> Refined:
    """Write a copy of a predictor's weight file that also has a regression.

    It is fitted on ROOT/train for the choice of its share on ROOT/valid, and again on both.

    Raises:
        UserError: the weight file already has a regression, the root has no levels or statistics
            or levels of another codec, an image cannot be read, or `out` exists and `overwrite` is
            false.
    """
    weights = predictor.weights
    if predictor.regression:
        raise UserError(f"{weights}: already refined; give the weight file that it was made of")
    splits = [read_split(root, name, levels_needed=True) for name in ("train", "valid")]
    splits[0].check_codec(predictor.labels.codec or QP, weights)
    statistics = [read_statistics(split) for split in splits]
    contents = [split.contents for split in splits]
    columns = [LEVELS.index(name) for name in predictor.names]
    levels = [split.known_levels[:, columns] for split in splits]
    of_model = _predict(predictor, splits[1])
    fitted = fit_regression(statistics[0], levels[0], contents[0])
    share = choose_share(fitted, statistics[1], levels[1], contents[1], of_model)
    both = [np.concatenate(each) for each in (statistics, levels, contents)]
    refitted = dataclasses.replace(fit_regression(*both), share=share)
    add_regression(weights, out, refitted, overwrite)
    of_regression = fitted.predict(statistics[1])
    blended = share * of_regression + (1 - share) * of_model
    predicted = {"model": of_model, "regression": of_regression, "both": blended}
    errors = {who: np.abs(each - levels[1]).mean(axis=0) for who, each in predicted.items()}
    return Refined(share, errors)


def _predict(predictor: Predictor, split: Split) -> np.ndarray:
    """Predict the levels of a split's frames: float32 [images, levels]."""
    rows = []
    predictions = predictor.predict(split.images, "stretched")
    for prediction in Progress(predictions, split.name, len(split.images), unit="frame"):
        if isinstance(prediction, Failure):
            raise prediction.error
        rows.append([*prediction.levels.values()])
    return np.array(rows, np.float32)


def fit_regression(statistics: np.ndarray, levels: np.ndarray, contents: np.ndarray) -> Regression:
    """Fit a kernel ridge regression with the kernel exp(-GAMMA x squared distance / statistics).

    Args:
        statistics: float32 [pictures, statistics]; of equal rows, the first is used.
        levels: float32 [pictures, levels].
        contents: str [pictures], shared by versions of one picture.
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
        share=1.0,
        familiar=0.0,
    )
    kernel = regression.similarities(statistics).astype(np.float64)
    ridge = RIDGE * np.eye(len(kernel))
    coefficients = np.linalg.solve(kernel + ridge, levels - offset).astype(np.float32)
    kernel[contents[:, np.newaxis] == contents] = 0
    familiar = float(np.quantile(kernel.max(axis=1), _UNFAMILIAR))
    return dataclasses.replace(regression, coefficients=coefficients, familiar=familiar)


def choose_share(
    regression: Regression,
    statistics: np.ndarray,
    levels: np.ndarray,
    contents: np.ndarray,
    predicted: np.ndarray,
) -> float:
    """Choose the weight of the regression's levels beside the head's by the mean absolute error.

    It is 1 unless the head lowers the error by more than twice the standard error of the
    difference: less may be chance, and the network need not run then.

    Args:
        regression: fitted on other contents.
        contents: str [pictures], shared by versions of one picture.
        predicted: the head's levels, float32 [pictures, levels].
    """
    of_regression = regression.predict(statistics)
    blended = [share * of_regression + (1 - share) * predicted for share in SHARES]
    errors = np.array([np.abs(each - levels).mean(axis=1) for each in blended])
    best = errors.mean(axis=1).argmin()
    gains = errors[-1] - errors[best]  # over the regression alone
    of_contents = [gains[contents == content].mean() for content in np.unique(contents)]
    chance = np.std(of_contents) / len(of_contents) ** 0.5
    return float(SHARES[best]) if np.mean(of_contents) > 2 * chance else 1.0
