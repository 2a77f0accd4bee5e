"""Converted models, kept in the user's cache folder from one run to the next."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from common.files import is_partial, write_arrays

# Of all models together, of which the largest takes 104 MB.
MOST_BYTES = 10**9
_DAY = 86_400  # seconds; a file half written for longer is nobody's
_SUFFIX = ".model.npz"


def default_folder() -> Path:
    """Find the user's cache folder, as the system has it."""
    return platformdirs.user_cache_path("laser-jnd")


def load_or_make(
    folder: Path, name: str, make: Callable[[], dict[str, Any]]
) -> dict[str, np.ndarray]:
    """Read the arrays called `name` in `folder`; where they are not whole, make and keep them.

    NumPy's files have a checksum of each array, and these know their name. Failing to keep them is
    reported on stderr and stops nothing. The least recently used go where all take more than
    `MOST_BYTES`.
    """
    path = folder / (name + _SUFFIX)
    if arrays := _load(path, name):
        with contextlib.suppress(OSError):  # of another user, or read-only
            os.utime(path)
        return arrays
    arrays = make()
    try:
        write_arrays(path, name=name, **arrays)
        _make_room(folder)
    except OSError as error:
        print(f"{folder}: the converted model is not kept ({error.strerror})", file=sys.stderr)
    return arrays


def _load(path: Path, name: str) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path) as file:
            arrays = {key: file[key] for key in file}
        return arrays if arrays.pop("name") == name else None
    # NumPy answers damaged files with whatever it stumbles on.
    except Exception:
        return None


def _make_room(folder: Path) -> None:
    """Remove what was asked for the longest ago, and what killed processes left."""
    for path in filter(is_partial, folder.iterdir()):
        if time.time() - path.stat().st_mtime > _DAY:
            path.unlink(missing_ok=True)
    size = 0
    entries = [(path, path.stat()) for path in folder.glob(f"*{_SUFFIX}")]
    for path, entry in sorted(entries, key=lambda each: each[1].st_mtime, reverse=True):
        size += entry.st_size
        if size > MOST_BYTES:
            path.unlink(missing_ok=True)
