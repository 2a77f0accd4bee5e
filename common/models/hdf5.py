"""HDF5 weight files, opened so that a damaged one cannot crash this process, and their checksum."""

import contextlib
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

LABELS_PREFIX = "labels_"  # of the attributes that hold the fields of `Labels`
OFFSETS = "quantization_offsets"
CHECKSUM = "checksum"  # our files have one; published files do not
# The largest of the six models has 26 million; the names of its layers and weights take 8 kB.
_MOST_WEIGHTS = 40_000_000
_LONGEST_NAMES = 100_000
# CPU seconds, which a busy machine does not lengthen; and seconds, in case it waits for ever.
_CPU_SECONDS, _SECONDS = 2, 30


@contextlib.contextmanager
def open_weights(path: Path) -> "Iterator[h5py.File]":
    """Open the weight file `path`; any error of HDF5 in the block is reported as the file's fault.

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
        raise UserError(f"{path}: not a whole Keras HDF5 weight file ({error})") from None


def _crashes_hdf5(path: Path) -> bool:
    """Whether HDF5 crashes or hangs on a file, as it may on a damaged one.

    A process of its own tries, without reading values. It takes 0.15 CPU seconds. A fork would be
    faster, but may hang where TensorFlow has started threads.
    """
    search_path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, path],
            env={**os.environ, "PYTHONPATH": search_path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C ends this process, and not that one alone
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode < 0


def _try_to_open(path: Path) -> None:
    """Read the structure of a file, and let HDF5 crash if it must."""
    signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
    # Other errors are found again, and reported, by the process that asks.
    with contextlib.suppress(Exception), h5py.File(path, "r") as file:
        list_weights(path, file)


def list_weights(path: Path, file: "h5py.File") -> "list[tuple[str, list[h5py.Dataset]]]":
    """List the layers that have weights, in the file's order: their names and unread datasets.

    Raises:
        UserError: a dataset is not of floating-point numbers, or there are more weights than in any
            of the six models: reading any file takes no more memory than reading those.
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
    """Read an attribute: text or numbers, no longer than the names of all layers.

    Raises:
        ValueError: it is longer, or of another type: reading such can crash HDF5.
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
    """Store a checksum of the weights and attributes in a weight file; errors name `path`."""
    datasets = (dataset for _, datasets in list_weights(path, file) for dataset in datasets)
    file.attrs[CHECKSUM] = _compute_checksum(path, file, (dataset[()] for dataset in datasets))


def check_checksum(path: Path, file: "h5py.File", values: Iterable[np.ndarray]) -> None:
    """Compare the checksum, if the file has one, with that of its attributes and `values`.

    Raises:
        UserError: they differ.
    """
    if CHECKSUM not in file.attrs:
        return
    if read_attribute(file, CHECKSUM) != _compute_checksum(path, file, values):
        raise UserError(f"{path}: damaged: its checksum does not fit; copy or download it again")


def _compute_checksum(path: Path, file: "h5py.File", values: Iterable[np.ndarray]) -> int:
    """Compute the CRC-32 of the values, their names and shapes, and our attributes."""
    datasets = [dataset for _, datasets in list_weights(path, file) for dataset in datasets]
    names = [name for name in sorted(file.attrs) if name.startswith(LABELS_PREFIX)]
    names += [OFFSETS] if OFFSETS in file.attrs else []
    attributes = [(name, np.asarray(read_attribute(file, name)).tobytes()) for name in names]
    shapes = [(dataset.name, dataset.shape) for dataset in datasets]
    checksum = zlib.crc32(repr((attributes, shapes)).encode())
    for value in values:
        checksum = zlib.crc32(np.ascontiguousarray(value).data, checksum)
    return checksum


if __name__ == "__main__":
    _try_to_open(Path(sys.argv[1]))
