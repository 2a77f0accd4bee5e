"""Safe reading of HDF5 weight files, of which damaged ones may crash HDF5; their checksum."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..base.errors import UserError
from ..base.files import check_regular

# Names of attributes; published files have none of these.
LABELS_PREFIX = "labels_"  # followed by a field of `Labels`
OFFSETS = "quantization_offsets"
CHECKSUM = "checksum"
REGRESSION = "regression"  # name of the group of a `models.regression.Regression`
# The largest model has 26 million weights; the names of its layers and weights take 8 kB.
_MOST_WEIGHTS = 40_000_000
_LONGEST_NAMES = 100_000
_MOST_NUMBERS = 10_000_000  # in a regression
# Time limits of the trial: CPU time, which does not grow on a busy machine, and total time.
_CPU_SECONDS, _SECONDS = 2, 30


@contextlib.contextmanager
def open_weights(path: Path) -> "Iterator[h5py.File]":
    """Open a weight file; any error of HDF5 in the block is reported as damage of the file.

    Raises:
        UserError: the file does not exist, cannot be read, or is damaged.
    """
    try:
        check_regular(path)
        if _crashes_hdf5(path):
            raise UserError(f"{path}: corrupted HDF5 file")
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path}: cannot be read ({os.strerror(error.errno or 0)})") from None
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a complete Keras HDF5 weight file ({error})") from None


def _crashes_hdf5(path: Path) -> bool:
    """Tell whether HDF5 crashes or hangs on a file, as it may on a damaged one.

    Another process tries, for 0.15 CPU seconds, to read all but the values. A fork would be
    faster, but may hang after TensorFlow has started threads.
    """
    search_path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, path],
            env={**os.environ, "PYTHONPATH": search_path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C is sent to this process only
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode < 0


def _try_to_open(path: Path) -> None:
    """Read the structure of a file; HDF5 may crash this process."""
    signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
    # The calling process will meet and report any other error itself.
    with contextlib.suppress(Exception), h5py.File(path, "r") as file:
        list_weights(path, file)
        list_regression(path, file)


def list_weights(path: Path, file: "h5py.File") -> "list[tuple[str, list[h5py.Dataset]]]":
    """List the names and unread datasets of the layers that have weights, in the file's order.

    Raises:
        UserError: a dataset is not of floating-point numbers, or there are more weights than in any
            of the six models, which bounds the memory that reading them takes.
    """
    group = file.get("model_weights", file)
    layers, size = [], 0
    for name in _read_names(group, "layer_names"):
        layer = group[name]
        datasets = [layer[weight] for weight in _read_names(layer, "weight_names")]
        for dataset in datasets:
            if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
                raise UserError(f"{path}: {dataset.name} holds no floating-point numbers")
            size += dataset.size
        if datasets:
            layers.append((name, datasets))
    if size > _MOST_WEIGHTS:
        raise UserError(f"{path}: holds {size:,} weights, more than any of the models has")
    return layers


def list_regression(path: Path, file: "h5py.File") -> "dict[str, h5py.Dataset]":
    """List the unread datasets of the regression in a weight file; empty if it has none.

    Raises:
        UserError: a dataset is not of floating-point numbers, or there are too many numbers.
    """
    datasets = dict(sorted(file[REGRESSION].items())) if REGRESSION in file else {}
    for dataset in datasets.values():
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
            raise UserError(f"{path}: {dataset.name} holds no floating-point numbers")
    if sum(dataset.size for dataset in datasets.values()) > _MOST_NUMBERS:
        raise UserError(f"{path}: its regression is larger than any that `refine` makes")
    return datasets


def read_finite(path: Path, dataset: "h5py.Dataset") -> np.ndarray:
    """Read one dataset of the weight file `path`.

    Raises:
        UserError: some values are NaN or infinite.
    """
    values = dataset[()]
    if not np.isfinite(values).all():
        raise UserError(f"{path}: has NaN or infinite weights, in {dataset.name}")
    return values


def read_attribute(group: "h5py.Group", name: str) -> Any:
    """Read an attribute of text or numbers.

    Raises:
        ValueError: it is too long or of another type, and reading it might crash HDF5.
    """
    attribute = group.attrs.get_id(name)
    text_or_numbers = h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID
    if not isinstance(attribute.get_type(), text_or_numbers):
        raise ValueError(f"{name} is of an unknown type")
    if np.prod(attribute.shape, dtype=float) * attribute.dtype.itemsize > _LONGEST_NAMES:
        raise ValueError(f"{name} is too long")
    return group.attrs[name]


def _read_names(group: "h5py.Group", name: str) -> list[str]:
    names = read_attribute(group, name)
    return [each.decode() if isinstance(each, bytes) else each for each in names]


def write_checksum(path: Path, file: "h5py.File") -> None:
    """Add a checksum of weights and attributes to an open weight file; errors name `path`."""
    datasets = (dataset for _, datasets in list_weights(path, file) for dataset in datasets)
    file.attrs[CHECKSUM] = _compute_checksum(path, file, (dataset[()] for dataset in datasets))


def check_checksum(path: Path, file: "h5py.File", values: Iterable[np.ndarray]) -> None:
    """Raise a UserError if the file has a checksum that does not match `values` and attributes."""
    if CHECKSUM not in file.attrs:
        return
    if read_attribute(file, CHECKSUM) != _compute_checksum(path, file, values):
        raise UserError(f"{path}: damaged: its checksum does not match; copy or download it again")


def _compute_checksum(path: Path, file: "h5py.File", values: Iterable[np.ndarray]) -> int:
    """Compute the CRC-32 of the values, their names and shapes, and our attributes."""
    datasets = [dataset for _, datasets in list_weights(path, file) for dataset in datasets]
    names = [name for name in sorted(file.attrs) if name.startswith(LABELS_PREFIX)]
    names += [OFFSETS] if OFFSETS in file.attrs else []
    attributes = [(name, np.asarray(read_attribute(file, name)).tobytes()) for name in names]
    shapes = [(dataset.name, dataset.shape) for dataset in datasets]
    regression = list_regression(path, file).values()
    shapes += [(dataset.name, dataset.shape) for dataset in regression]
    checksum = zlib.crc32(repr((attributes, shapes)).encode())
    for value in itertools.chain(values, (dataset[()] for dataset in regression)):
        checksum = zlib.crc32(np.ascontiguousarray(value).data, checksum)
    return checksum


if __name__ == "__main__":
    _try_to_open(Path(sys.argv[1]))
