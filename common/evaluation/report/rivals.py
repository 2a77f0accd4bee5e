"""What does the same job without a network; a model that loses to it is of no use.

    frame ─┬─ gradients at three scales ─ percentiles ─┐
           └─ one trial encode ─ how near it comes ────┴─ ridge regression ─ JND1 JND2 JND3

Each is fitted on ROOT/train, as a model is, and measured on ROOT/test. How strongly it is held back
is chosen by cross-validation over train's contents.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from ...base.arrays import write_arrays
from ...base.constants import LEVELS
from ...base.parallel import parallel_map
from ...base.temporary import temporary_folder
from ...data.frames import read_frame
from ...data.gradients import gradient_percentiles
from ...data.split import Split
from ..results import digest, kept
from .coding import measured
from .predictions import Predictions

FOLDS = 5  # and so many contents in train, at least
TIMED = 4  # frames


class Rivals(NamedTuple):
    """What they predict for the test split, and CPU seconds per frame by title."""

    predictions: Predictions
    cpu_seconds: dict[str, float]


def rivals(train: Split | None, test: Split, cache: Path) -> Rivals:
    """Fit the rivals on `train` and let them predict `test`.

    None of them where there is no `train`, or one of fewer than `FOLDS` contents.

    Raises:
        UserError: an image cannot be read.
    """
    answers = Rivals({}, {})
    if not train or len(set(train.contents)) < FOLDS:
        return answers
    trial = test.codec.nearest(np.median(train.true("JND1")))
    of_encodes = "VMAF" if test.proxy_labels else "bits, PSNR and VMAF"
    squares = FunctionTransformer(lambda values: np.hstack([values, values**2]))
    cubic = PolynomialFeatures(3, include_bias=False)

    def gradients(split: Split, folder: Path) -> np.ndarray:
        return np.array(parallel_map(lambda image: _kept(image, folder), split.images, "gradients"))

    def encodes(split: Split, folder: Path) -> np.ndarray:
        trials = measured(split, trial, folder, f"{split.name}, one trial encode")
        columns = (
            [trials.vmaf]
            if test.proxy_labels
            else [np.log(trials.bits_per_pixel), trials.psnr, trials.vmaf]
        )
        return np.stack(columns, axis=1)

    for title, features, curved in (
        ("rival: gradients", gradients, squares),
        (f"rival: one encode at {trial}, its {of_encodes}", encodes, cubic),
    ):
        model = GridSearchCV(
            make_pipeline(StandardScaler(), curved, StandardScaler(), Ridge()),
            {"ridge__alpha": np.logspace(-3, 5, 17)},
            scoring="neg_mean_absolute_error",
            cv=GroupKFold(FOLDS),
        )
        model.fit(features(train, cache), train.levels, groups=train.contents)
        predicted = model.predict(features(test, cache))
        answers.predictions.update(
            ((title, level), predicted[:, place]) for place, level in enumerate(LEVELS)
        )
        answers.cpu_seconds[title] = _cpu_seconds(features, test)
    return answers


def _kept(image: Path, cache: Path) -> np.ndarray:
    """The percentiles of an image, from the folder `cache` where they have been before."""
    path = cache / "gradients" / f"{digest(image)}.npz"
    if not kept(path, "percentiles"):
        write_arrays(path, {"percentiles": gradient_percentiles(read_frame(image))}, overwrite=True)
    return kept(path, "percentiles")[0]


def _cpu_seconds(features: Callable[[Split, Path], np.ndarray], split: Split) -> float:
    """What `features` of a frame takes, from its file on, where nothing is kept."""
    few = dataclasses.replace(split, images=split.images[:TIMED])
    with temporary_folder() as empty:
        before = sum(os.times()[:4])
        features(few, empty)
        return (sum(os.times()[:4]) - before) / len(few.images)
