"""The levels that each model predicts for the test split."""

from pathlib import Path

import numpy as np

from ...base.constants import LEVELS
from ...base.errors import UserError, report_skipped
from ...base.files import checksum
from ...base.progress import Progress
from ...inference.predictor import Predictor
from ...inference.records import Failure
from ..cache import cache_file, load, store
from .candidates import Candidate

# Predicted levels [images] by model title and level, in the order of the paper's tables.
Predictions = dict[tuple[str, str], np.ndarray]


def select_level(predictions: Predictions, level: str) -> dict[str, np.ndarray]:
    """Select the predictions [images] of `level`, by model title."""
    return {title: levels for (title, name), levels in predictions.items() if name == level}


def predict_all(
    candidates: list[Candidate], images: list[Path], cache: Path
) -> tuple[Predictions, list[Candidate]]:
    """Predict the levels of `images` with each candidate, and return those that were used, too.

    A BestModel.h5 may be any model's: as a candidate for another model it is skipped. Files that
    fit no model, and further files of a model, are reported on stderr.

    Raises:
        UserError: a file is damaged or does not fit the model in its name, an image cannot be read,
            or no file fits any model.
    """
    predictions: Predictions = {}
    misfits: dict[Path, UserError] = {}
    used: list[Candidate] = []
    fitting: set[Path] = set()
    for candidate in candidates:
        try:
            levels = _predict(candidate, images, cache)
        except _MisfitError as misfit:
            if candidate.certain:
                raise
            misfits[candidate.file] = misfit
            continue
        fitting.add(candidate.file)
        title = candidate.description.title
        names = [candidate.level] if candidate.level else LEVELS
        if (title, names[0]) in predictions:
            report_skipped(f"{candidate.file}: a second {title} for {names[0]}")
            continue
        used.append(candidate)
        predictions |= {(title, name): levels[:, index] for index, name in enumerate(names)}
    unknown = [error for file, error in misfits.items() if file not in fitting]
    if not predictions:
        raise unknown[0]
    for error in unknown:
        report_skipped(error)
    return predictions, used


class _MisfitError(UserError):
    """A weight file that does not hold the candidate's model."""


def _predict(candidate: Candidate, images: list[Path], cache: Path) -> np.ndarray:
    """Predict levels [images, levels], or take them from the cache."""
    description = candidate.description
    weights = checksum([candidate.file.read_bytes()])
    files = [cache_file(cache, "levels", description.name, weights, image) for image in images]
    found = [load(file, ["levels"]) for file in files]
    missing = [index for index, arrays in enumerate(found) if arrays is None]
    if missing:
        try:
            predictor = Predictor(description.name, candidate.file, candidate.level)
        except UserError as misfit:
            raise _MisfitError(misfit) from None
        predicted = predictor.predict([images[index] for index in missing], "stretched")
        desc = " ".join(filter(None, [description.title, candidate.level]))
        progress = Progress(predicted, desc, len(missing), unit="frame")
        for prediction, index in zip(progress, missing):
            if isinstance(prediction, Failure):
                raise prediction.error
            levels = np.array([*prediction.levels.values()], np.float32)
            found[index] = store(files[index], ["levels"], [levels])
    return np.array([arrays[0] for arrays in found if arrays])
