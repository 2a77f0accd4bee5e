"""The levels that each model predicts for the test split, kept between runs frame by frame."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.data.frames import frame_batches
from common.errors import UserError
from common.evaluation.predictor import predict, prepare_model
from common.evaluation.report.candidates import Candidate
from common.evaluation.report.truth import Predictions
from common.facts import LEVELS
from common.files import write_arrays
from common.models.weights import read_weights

PRECISION = "float32"


def predict_all(candidates: list[Candidate], images: list[Path], cache: Path) -> Predictions:
    """What each candidate that holds its model's weights predicts for `images`.

    A BestModel.h5 may be any model's: it is passed over where it holds another, and told on stderr
    where it fits none.

    Raises:
        UserError: a file is damaged or named after another model than it holds, an image cannot be
            read, or no file fits any model.
    """
    predictions: Predictions = {}
    misfits: dict[Path, UserError] = {}
    fitting: set[Path] = set()
    for candidate in candidates:
        folder = cache / "levels" / f"{candidate.description.name}-{_digest(candidate.file)}"
        stored = [folder / f"{_digest(image)}.npz" for image in images]
        missing = [number for number, path in enumerate(stored) if not path.exists()]
        if missing:
            try:
                _predict(candidate, [images[n] for n in missing], [stored[n] for n in missing])
            except _MisfitError as misfit:
                misfits[candidate.file] = misfit
                continue
        fitting.add(candidate.file)
        levels = np.array([np.load(path)["levels"] for path in stored])
        for number, level in enumerate([candidate.level] if candidate.level else LEVELS):
            predictions[candidate.description.title, level] = levels[:, number]
    alone = [error for file, error in misfits.items() if file not in fitting]
    if not predictions:
        raise alone[0]
    for error in alone:
        print(f"left out: {error}", file=sys.stderr)
    return predictions


class _MisfitError(UserError):
    """A file that may be any model's is not this one's."""


def _predict(candidate: Candidate, images: list[Path], stored: list[Path]) -> None:
    """Write the levels of each image to its place in `stored`, one by one."""
    model, device = prepare_model(candidate.description, PRECISION)
    try:
        read_weights(model, candidate.file)
    except UserError as error:
        raise error if candidate.certain else _MisfitError(str(error)) from None
    bad: list[UserError] = []
    batches = frame_batches(images, candidate.description.test_batch, bad)
    doing = " ".join(filter(None, (candidate.description.title, candidate.level)))
    with tqdm(desc=doing, total=len(images), unit="frame", disable=None, leave=False) as progress:
        for numbers, levels in predict(model, batches, device, PRECISION):
            if not np.isfinite(levels).all():
                raise UserError(f"{candidate.file}: gives levels that are no numbers")
            for number, row in zip(numbers, levels):
                write_arrays(stored[number], levels=row)
            progress.update(len(numbers))
    if bad:
        raise bad[0]


def _digest(path: Path) -> str:
    """A checksum of a file, as a name.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
