"""Targets that say less of single pictures than labels do, so that less can be learned by heart.

    frame ──── gradient percentiles ─ kernel ridge regression ─┐
    latents ── their distributions ── kernel ridge regression ─┴─ mean ─ soft target

A label follows from what the encoder does on just these pixels; a smooth function fitted on the
frames of other contents tells what such a frame's level is like.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, of which this takes the
targets; teachers fitted on other folds are those of Wolpert, "Stacked Generalization", 1992.
"""

from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from ..base.errors import UserError
from ..base.parallel import parallel_map
from ..data.frames import read_frame
from ..data.gradients import gradient_percentiles

FOLDS = 5  # of contents; each is told by a regression on the other four
# The kernel is exp(-WIDTH x squared distance / dimensions), of numbers of variance 1.
WIDTH, RIDGE = 0.2, 0.03


def soft_targets(
    images: list[Path], features: list[Path], levels: np.ndarray, contents: np.ndarray
) -> np.ndarray:
    """What regressions on the frames of other contents say of each frame: float32 as `levels`.

    Args:
        images: the frames' files.
        features: for each backbone a file of arrays [images, height, width, channels].
        levels: the labels, float32 [images, levels].
        contents: str [images]: what frames of one picture or clip share.

    Raises:
        UserError: an image cannot be read, or there are fewer than `FOLDS` contents.
    """
    if len(set(contents)) < FOLDS:
        raise UserError(f"soft targets need {FOLDS} contents in train, not {len(set(contents))}")
    gradients = parallel_map(
        lambda image: gradient_percentiles(read_frame(image)), images, "gradients"
    )
    seen = np.array(gradients), np.hstack([distributions(np.load(f, "r")) for f in features])
    answers = [
        cross_val_predict(
            _teacher(numbers.shape[1]), numbers, levels, groups=contents, cv=GroupKFold(FOLDS)
        )
        for numbers in seen
    ]
    return np.mean(answers, axis=0).astype(np.float32)


def distributions(features: np.ndarray) -> np.ndarray:
    """Of each channel's magnitudes over the places: logarithms of mean, median, 90th percentile,
    and of the values' deviation.

    Shapes: [images, height, width, channels] to [images, 4 x channels].
    """
    rows = []
    for feature in tqdm(features, desc="distributions", unit="frame", disable=None, leave=False):
        values = np.asarray(feature, np.float32)
        magnitudes = np.abs(values)
        few = *np.percentile(magnitudes, (50, 90), axis=(0, 1)), magnitudes.mean(axis=(0, 1))
        rows.append(np.log(np.hstack([*few, values.std(axis=(0, 1))]) + 0.01))
    return np.array(rows)


def _teacher(dimensions: int) -> TransformedTargetRegressor:
    regression = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=WIDTH / dimensions)
    # Far from all it has seen it answers the mean, not 0.
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regression), transformer=StandardScaler(with_std=False)
    )
