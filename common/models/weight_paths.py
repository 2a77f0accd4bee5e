"""Paths of weight files and entropy models."""

import contextlib
from pathlib import Path

from ..base.constants import ENTROPY_SUFFIX, LEVELS
from ..base.errors import UserError
from ..base.files import check_regular

PUBLISHED = "the published weights are at zenodo.org, record 11080876"


def find_weights(path: Path, names: list[str]) -> Path:
    """Find a weight file: `path` itself or, if it is a folder, the first of `names` in it.

    Raises:
        UserError: there is none; the message names the files that were looked for.
    """
    path = Path(path)
    with contextlib.suppress(OSError):
        check_regular(path)
    if path.is_file():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    looked_for = f"no {' or '.join(names)} in it" if path.is_dir() else "no such folder or file"
    raise UserError(f"{path}: {looked_for}; {PUBLISHED}, or train your own: train --help")


def find_entropy_files(weights: Path) -> list[Path]:
    """Find the entropy models next to a weight file, whichever model it belongs to."""
    paths = [entropy_file(weights, target) for target in (None, *LEVELS)]
    return [path for path in paths if path.exists()]


def name_copy(entropy_model: Path, weights: Path, copy: Path) -> Path:
    """Name the copy of an entropy model next to `weights` that belongs next to their `copy`."""
    return copy.with_name(copy.stem + entropy_model.name.removeprefix(weights.stem))


def entropy_file(weights_file: Path, target: str | None = None) -> Path:
    """Name the file of an entropy model, which is next to the weight file of its backbone.

    Args:
        target: the backbone's target, if the weight file holds several backbones.
    """
    suffix = f".{target}{ENTROPY_SUFFIX}" if target else ENTROPY_SUFFIX
    return Path(weights_file).with_suffix(suffix)
