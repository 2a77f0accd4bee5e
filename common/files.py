"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    import numpy as np


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    The temporary name keeps the suffix, since encoders choose the format by it. Missing folders are
    made. On any error the temporary file goes and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_arrays(path: Path, **arrays: np.ndarray | str) -> None:
    """Write a file that `np.load` reads, whole or not at all."""
    import numpy as np

    # NumPy's own writing keeps the file open, and complains a second time, when the disk is full.
    file = io.BytesIO()
    np.savez(file, **arrays)
    with replaced(path) as beside:
        beside.write_bytes(file.getbuffer())


def make_writable(folder: Path) -> None:
    """Make `folder`: better to fail now than after hours of work.

    Raises:
        UserError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made as a folder ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: no permission to write into it")
