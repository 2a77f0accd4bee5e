"""Cache of converted models in the user's cache folder."""

import contextlib
import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from ..base.arrays import read_arrays, write_arrays
from ..base.errors import UserError
from ..base.files import check_regular

_log = logging.getLogger(__name__)

# Limit on the size of the whole cache; the largest model takes 104 MB.
MOST_BYTES = 10**9
_SUFFIX = ".model.npz"


def default_folder() -> Path:
    """Return the user's cache folder for this program."""
    return platformdirs.user_cache_path("laser-jnd")


def load_or_make(
    folder: Path, name: str, keys: Collection[str], make: Callable[[], dict[str, Any]]
) -> dict[str, np.ndarray]:
    """Read the arrays of the model `name` from the cache in `folder`, or make and store them.

    A damaged file counts as missing. If the new file cannot be written, a warning is logged. If the
    cache exceeds `MOST_BYTES`, the least recently used models are deleted.

    Args:
        keys: the names of the arrays that it has at least.
        make: computes the arrays.
    """
    path = folder / (name + _SUFFIX)
    if arrays := _load(path, name, keys):
        with contextlib.suppress(OSError):  # the folder belongs to another user, or is read-only
            os.utime(path)
        return arrays
    arrays = make()
    try:
        write_arrays(path, {"name": name, **arrays}, overwrite=True)
        _make_room(folder)
    except (OSError, UserError) as error:
        _log.warning("%s: the converted model is not cached (%s)", folder, error)
    return arrays


def _load(path: Path, name: str, keys: Collection[str]) -> dict[str, np.ndarray] | None:
    try:
        check_regular(path)
        arrays = read_arrays(path, MOST_BYTES)
        return arrays if arrays.pop("name") == name and arrays.keys() >= {*keys} else None
    except (OSError, ValueError, KeyError, MemoryError, UserError):
        return None


def _make_room(folder: Path) -> None:
    size = 0
    entries = [(path, path.stat()) for path in folder.glob(f"*{_SUFFIX}")]
    for path, entry in sorted(entries, key=lambda each: each[1].st_mtime, reverse=True):
        size += entry.st_size
        if size > MOST_BYTES:
            path.unlink(missing_ok=True)
