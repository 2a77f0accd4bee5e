"""A cache of slow results: files named by everything that a result depends on.

Files are written completely or not at all, and damaged ones count as missing. So runs may share a
cache, and may be killed at any time and continued; the cache may be deleted.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..base.arrays import read_arrays, write_arrays
from ..base.files import checksum

_LARGEST = 2**28  # bytes; bitstreams and levels of frames take less


def cache_file(cache: Path, kind: str, *inputs: object) -> Path:
    """Name the file of a result in the folder `cache` by its kind and its inputs.

    An input that is a path stands for the content of its file, any other for its `repr`.
    """
    parts = [
        checksum([each.read_bytes()]) if isinstance(each, Path) else repr(each) for each in inputs
    ]
    name = checksum(["\n".join(parts).encode()])
    return cache / kind / name[:2] / f"{name}.npz"


def load(file: Path, names: Sequence[str]) -> list[np.ndarray] | None:
    """Read the arrays with these `names`; None if there is no such file or it is damaged."""
    try:
        arrays = read_arrays(file, _LARGEST)
        return [arrays[name] for name in names]
    except (OSError, ValueError, KeyError, MemoryError):
        return None


def store(file: Path, names: Sequence[str], arrays: Iterable[Any]) -> list[np.ndarray]:
    """Write `arrays` under their `names`, and return them as `load` would."""
    named = {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}
    write_arrays(file, named, overwrite=True)
    return list(named.values())


def fetch(
    file: Path, names: Sequence[str], compute: Callable[[], Iterable[Any]]
) -> list[np.ndarray]:
    """Load the arrays of a result or, if they are missing, compute and store them."""
    arrays = load(file, names)
    return store(file, names, compute()) if arrays is None else arrays
