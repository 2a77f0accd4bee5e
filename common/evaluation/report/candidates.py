"""Which of the six models there are weights of."""

from pathlib import Path
from typing import NamedTuple

from ...base.constants import LEVELS
from ...base.errors import UserError
from ...models.descriptions import MODELS, Description
from ...models.weights import PUBLISHED


class Candidate(NamedTuple):
    """A weight file that may hold a model's weights."""

    description: Description
    level: str | None
    """None if multitask."""
    file: Path

    @property
    def certain(self) -> bool:
        """Its name says which model it is; a BestModel.h5 may be any."""
        return self.file.name == self.description.weight_files(self.level)[0]


def find_candidates(path: Path) -> list[Candidate]:
    """The weight files at `path`, a folder or one file, model by model and level by level.

    A model's published name goes before the one that training writes, as in `test`. A folder that
    has none itself may hold folders that have some, as trainings leave them.

    Raises:
        UserError: there is none; the message names what was looked for.
    """
    if path.is_file():
        candidates = _in_folder(path.parent, path.name)
    else:
        below = sorted(each for each in path.glob("*") if each.is_dir())
        candidates = _in_folder(path) or [each for folder in below for each in _in_folder(folder)]
    if not candidates:
        wanted = ", ".join(
            dict.fromkeys(name for model in MODELS.values() for name in _usual(model))
        )
        what = "is none of" if path.is_file() else "has none of" if path.is_dir() else "no folder"
        raise UserError(f"{path}: {what} {wanted}; train a model, or {PUBLISHED}")
    return candidates


def _usual(model: Description) -> list[str]:
    return model.weight_files(None if model.multitask else "JNDk")


def _in_folder(folder: Path, only: str | None = None) -> list[Candidate]:
    """The weight files that lie in `folder` itself, or of these the one that is called `only`."""
    candidates = []
    for model in MODELS.values():
        for level in (None,) if model.multitask else LEVELS:
            names = [name for name in model.weight_files(level) if only in (None, name)]
            there = [folder / name for name in names if (folder / name).is_file()]
            candidates += [Candidate(model, level, file) for file in there[:1]]
    return candidates
