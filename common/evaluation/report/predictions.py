"""The levels that each model predicts for the test split, kept between runs frame by frame."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...base.arrays import write_arrays
from ...base.constants import LEVELS
from ...base.errors import UserError, report_skipped
from ...inference.predictor import Predictor
from ..results import digest, kept
from .candidates import Candidate

# Predicted levels [images] by model title and level, in the order of the paper's tables.
Predictions = dict[tuple[str, str], np.ndarray]


def of_level(predictions: Predictions, level: str) -> dict[str, np.ndarray]:
    """The levels [images] of each model that predicts `level`, by its title."""
    return {title: levels for (title, name), levels in predictions.items() if name == level}


def predict_all(
    candidates: list[Candidate], images: list[Path], cache: Path
) -> tuple[Predictions, list[Candidate]]:
    """What the candidates that hold their model's weights predict for `images`; and these.

    A BestModel.h5 may be any model's: it is passed over where it holds another, and told on stderr
    where it fits none, or is a second one of its model.

    Raises:
        UserError: a file is damaged or named after another model than it holds, an image cannot be
            read, or no file fits any model.
    """
    predictions: Predictions = {}
    misfits: dict[Path, UserError] = {}
    fitting: list[Candidate] = []
    known: set[Path] = set()
    digests = [digest(image) for image in images]
    for candidate in candidates:
        folder = cache / "levels" / f"{candidate.description.name}-{digest(candidate.file)}"
        stored = {image: folder / f"{name}.npz" for image, name in zip(images, digests)}
        missing = [image for image in images if not kept(stored[image], "levels")]
        if missing:
            try:
                predictor = Predictor(candidate.description.name, candidate.file, candidate.level)
            except UserError as misfit:
                if candidate.certain:
                    raise
                misfits[candidate.file] = misfit
                continue
            _predict(predictor, missing, stored)
        known.add(candidate.file)
        names = [candidate.level] if candidate.level else LEVELS
        if (candidate.description.title, names[0]) in predictions:
            message = f"a second {candidate.description.title} for {names[0]}"
            report_skipped(f"{candidate.file}: {message}")
            continue
        fitting.append(candidate)
        levels = np.array([kept(stored[image], "levels")[0] for image in images])
        for number, level in enumerate(names):
            predictions[candidate.description.title, level] = levels[:, number]
    alone = [error for file, error in misfits.items() if file not in known]
    if not predictions:
        raise alone[0]
    for error in alone:
        report_skipped(error)
    return predictions, fitting


def _predict(predictor: Predictor, images: list[Path], stored: dict[Path, Path]) -> None:
    """Write the levels of each image to its place in `stored`, one by one."""
    title = predictor.description.title
    doing = title if predictor.description.multitask else f"{title} {predictor.names[0]}"
    with tqdm(desc=doing, total=len(images), unit="frame", disable=None, leave=False) as progress:
        for image, prediction in zip(images, predictor.predict(images)):
            if isinstance(prediction, UserError):
                raise prediction
            write_arrays(stored[image], {"levels": prediction.levels}, overwrite=True)
            progress.update()
