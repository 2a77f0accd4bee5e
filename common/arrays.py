"""Files of named arrays, as `np.savez` writes them: read whole, or refused at once."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

_KINDS = "biufU"  # booleans, whole numbers, fractions, text: never objects, which could run code


def read_arrays(path: Path, most_bytes: int) -> dict[str, np.ndarray]:
    """The arrays in a file by their names, with their checksums compared.

    Takes no more memory than `most_bytes` and the file itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, larger, or holds anything but numbers and text: says what.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > most_bytes:
                raise ValueError(f"it says that it holds {size:,} bytes, more than there can be")
            return {
                member.filename.removesuffix(".npy"): _read_array(archive, member)
                for member in members
            }
    except (FileNotFoundError, ValueError, MemoryError):
        raise
    # The readers of zips and headers answer damaged files with whatever they stumble on.
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from None


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        shape, in_columns, dtype = _read_header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in _KINDS or any(side < 0 for side in shape):
            raise ValueError(f"{member.filename} is no array of numbers or text")
        if file.tell() + size != member.file_size:
            raise ValueError(f"{member.filename} is not as long as its shape {shape} says")
        data = bytearray(file.read())  # to the end, where the checksum is compared
    return np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if not read:
        raise ValueError(f"arrays of version {version} are unknown")
    return read(file)
