"""Out-of-fold regression targets, which are harder to memorize than the labels.

    frame ──── gradient percentiles ─ kernel ridge regression ─┐
    latents ── their distributions ── kernel ridge regression ─┴─ mean ─ target

A label depends on how the encoder treats exactly these pixels; a smooth function fitted on frames
of other contents gives the usual level of such a frame.

Sources: Wolpert, "Stacked Generalization", 1992 (out-of-fold predictions); Hinton et al.,
"Distilling the Knowledge in a Neural Network", 2015 (a teacher's predictions as targets).
"""

from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..base.errors import UserError
from ..base.parallel import parallel_map
from ..base.progress import Progress
from ..data.frames import read_frame
from ..data.gradients import gradient_percentiles
from .settings import TrainingSplit

FOLDS = 5  # of contents; each is predicted by a regression on the other four
# The kernel is exp(-GAMMA x squared distance / dimensions) of features with variance 1.
GAMMA, RIDGE = 0.2, 0.03


def blend_targets(split: TrainingSplit, weight: float) -> TrainingSplit:
    """Replace `weight` of a split's levels by out-of-fold targets; the features must be cached.

    Raises:
        UserError: as `out_of_fold_targets`.
    """
    assert split.features is not None and split.contents is not None
    targets = out_of_fold_targets(
        split.images[: split.originals],
        [paths[0] for paths in split.features],
        split.levels[: split.originals],
        split.contents[: split.originals],
    )
    targets = np.resize(targets, split.levels.shape)  # mirrored copies follow in the same order
    return split._replace(levels=weight * targets + (1 - weight) * split.levels)


def out_of_fold_targets(
    images: list[Path], features: list[Path], levels: np.ndarray, contents: np.ndarray
) -> np.ndarray:
    """Predict each frame's levels by regressions on frames of other contents.

    Args:
        images: the frames' files.
        features: a file per backbone with an array [images, height, width, channels].
        levels: the labels, float32 [images, levels].
        contents: str [images], shared by frames of one picture or clip.

    Returns:
        float32 [images, levels].

    Raises:
        UserError: an image cannot be read, or there are fewer than `FOLDS` contents.
    """
    if len(set(contents)) < FOLDS:
        message = f"--soft_targets needs {FOLDS} contents in train"
        raise UserError(f"{message}, not {len(set(contents))}")
    gradients = parallel_map(
        lambda image: gradient_percentiles(read_frame(image)), images, "measuring gradients"
    )
    inputs = np.array(gradients), np.hstack([distributions(np.load(f, "r")) for f in features])
    predictions = [
        cross_val_predict(
            _build_regression(numbers.shape[1]),
            numbers,
            levels,
            groups=contents,
            cv=GroupKFold(FOLDS),
        )
        for numbers in inputs
    ]
    return np.mean(predictions, axis=0).astype(np.float32)


def distributions(features: np.ndarray) -> np.ndarray:
    """Compute statistics of each channel: the logarithms of its standard deviation and of the
    median, 90th percentile and mean of its magnitudes.

    Shapes: [images, height, width, channels] to [images, 4 x channels].
    """
    rows = []
    for feature in Progress(features, "measuring distributions", unit="frame"):
        values = np.asarray(feature, np.float32)
        magnitudes = np.abs(values)
        few = *np.percentile(magnitudes, (50, 90), axis=(0, 1)), magnitudes.mean(axis=(0, 1))
        rows.append(np.log(np.hstack([*few, values.std(axis=(0, 1))]) + 0.01))
    return np.array(rows)


def _build_regression(dimensions: int) -> TransformedTargetRegressor:
    regression = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=GAMMA / dimensions)
    # Centring makes it predict the mean, not 0, far from all frames that it was fitted on.
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regression), transformer=StandardScaler(with_std=False)
    )
