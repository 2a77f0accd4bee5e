"""Which of the six models there are weights of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.facts import LEVELS
from common.models.descriptions import MODELS, Description
from common.models.weights import PUBLISHED


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

    A model's published name goes before the one that training writes, as in `test`.

    Raises:
        UserError: there is none; the message names what was looked for.
    """
    folder = path.parent if path.is_file() else path
    found, looked_for = [], []
    for description in MODELS.values():
        for level in (None,) if description.multitask else LEVELS:
            names = description.weight_files(level)
            looked_for += names
            there = [name for name in names if (folder / name).is_file()]
            if path.is_file():
                there = [name for name in names if name == path.name]
            found += [Candidate(description, level, folder / name) for name in there[:1]]
    if not found:
        wanted = ", ".join(dict.fromkeys(looked_for))
        what = "is none of" if path.is_file() else "has none of" if path.is_dir() else "no folder"
        raise UserError(f"{path}: {what} {wanted}; train a model, or {PUBLISHED}")
    return found
