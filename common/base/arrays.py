"""Array files (`np.savez`), written atomically, and read completely or rejected."""

import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from .files import atomic_write

_KINDS = "biufU"  # booleans, integers, floats, text: never objects, which could run code


def write_arrays(
    path: Path,
    arrays: Mapping[str, Any],
    ours: re.Pattern[bytes] | None = None,
    overwrite: bool | None = False,
) -> None:
    """Write `arrays` as a file for `np.load`; `ours` and `overwrite` are as in `atomic_write`."""
    # On a full disk, np.savez would leave its file open and raise a second error later.
    file = io.BytesIO()
    np.savez(file, **arrays)
    with atomic_write(path, ours, overwrite) as temporary, file.getbuffer() as data:
        temporary.write_bytes(data)


def read_arrays(path: Path, most_bytes: int) -> dict[str, np.ndarray]:
    """Read the arrays in a file by name, verifying their checksums.

    Uses at most `most_bytes` of memory in addition to the size of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, is larger than `most_bytes`, or holds anything but numbers
            and text; the message says which.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > most_bytes:
                raise ValueError(f"claims to hold {size:,} bytes, over the limit of {most_bytes:,}")
            return {
                member.filename.removesuffix(".npy"): _read_array(archive, member)
                for member in members
            }
    except (FileNotFoundError, ValueError, MemoryError):
        raise
    # On damaged files, the readers of zips and headers raise exceptions of any type.
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from None


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        shape, in_columns, dtype = _read_header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in _KINDS or any(side < 0 for side in shape):
            raise ValueError(f"{member.filename} is not an array of numbers or text")
        if file.tell() + size != member.file_size:
            raise ValueError(f"the size of {member.filename} does not match its shape, {shape}")
        data = bytearray(file.read())  # reading to the end verifies the checksum
    return np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if not read:
        raise ValueError(f"array version {version} is unknown")
    return read(file)
