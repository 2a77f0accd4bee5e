"""Search for weight files of the six models."""

from pathlib import Path
from typing import NamedTuple

from ...base.constants import LEVELS
from ...base.errors import UserError
from ...models.descriptions import MODELS, Description
from ...models.weight_paths import PUBLISHED


class Candidate(NamedTuple):
    """A weight file that may be a model's."""

    description: Description
    level: str | None
    """None if multitask."""
    file: Path

    @property
    def certain(self) -> bool:
        """Whether its name identifies the model; a BestModel.h5 may be any model's."""
        return self.file.name in _published_names(self.description, self.level)


def find_candidates(path: Path) -> list[Candidate]:
    """Find the weight files at `path`, a folder or one file, model by model and level by level.

    As in `test`, a model's published name takes precedence over the one that training writes. If
    the folder itself has no files, those in its subfolders are taken. One file of another name may
    be any multitask model's.

    Raises:
        UserError: there is none; the message lists the possible names.
    """
    if path.is_file():
        candidates = _find_in(path.parent, path.name) or [
            Candidate(model, None, path) for model in MODELS.values() if model.multitask
        ]
    else:
        subfolders = sorted(each for each in path.glob("*") if each.is_dir())
        candidates = _find_in(path) or [each for below in subfolders for each in _find_in(below)]
    if not candidates:
        names = dict.fromkeys(
            name
            for model in MODELS.values()
            for name in model.weight_files(None if model.multitask else "JNDk")
        )
        what = "has none of" if path.is_dir() else "no such file or folder; expected"
        raise UserError(f"{path}: {what} {', '.join(names)}; train a model, or {PUBLISHED}")
    return candidates


def _find_in(folder: Path, only: str | None = None) -> list[Candidate]:
    """Find the weight files in `folder` itself, or just the one named `only`."""
    candidates = []
    for model in MODELS.values():
        for level in (None,) if model.multitask else LEVELS:
            names = model.weight_files(level)
            if only:
                names = [name for name in {*names, *_published_names(model, level)} if name == only]
            files = [folder / name for name in names if (folder / name).is_file()]
            candidates += [Candidate(model, level, file) for file in files[:1]]
    return candidates


def _published_names(model: Description, level: str | None) -> list[str]:
    """Name the files that identify a model: of QPs, and of JPEG qualities."""
    return [model.weight_files(level, jpeg)[0] for jpeg in (False, True)]
