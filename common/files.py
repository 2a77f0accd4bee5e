"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    import numpy as np


# Temporary files are told from a user's own by this.
_PARTIAL = re.compile(r"\..+\.partial-[0-9a-f]{8}(\.\w+)?")


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    The temporary name keeps the suffix, since encoders choose the format by it. Missing folders are
    made. On any error the temporary file goes and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        # Encoders name no file, or the temporary one, which is gone.
        if error.filename in (None, str(beside)):
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Whether `path` is a temporary file of `replaced`, left by a process that was killed."""
    return bool(_PARTIAL.fullmatch(path.name))


def remove_partials(*paths: Path) -> None:
    """Remove what killed processes left half written of `paths` and of files named after them."""
    for left in (left for path in paths for left in path.parent.glob(f".{path.stem}.*")):
        if is_partial(left):
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Have what the file `path` stands for to ourselves; the system frees it if we are killed.

    Raises:
        BlockingIOError: another process has it, and we are not to `wait`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def checksum(parts: Iterable[bytes]) -> str:
    """SHA-256 of the `parts` in a row, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def write_arrays(path: Path, **arrays: np.ndarray | str | float) -> None:
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
