"""Atomic writing of files, and checks of which files may be read and replaced."""

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from .constants import SOFTWARE
from .errors import UserError
from .folders import make_folder
from .temporary import PREFIX, find_full_errno, temporary_folder

_HEAD = 4096  # bytes that are read of a file to tell whether this program wrote it
# Matches the start of a PNG that names this program in its `Software` field.
OUR_PNG = re.compile(rb"\x89PNG.{0,2000}?tEXtSoftware\0" + SOFTWARE.encode(), re.DOTALL)
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


@contextlib.contextmanager
def atomic_write(
    path: Path, ours: re.Pattern[bytes] | None = None, overwrite: bool | None = False
) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` when the block succeeds.

    Missing folders are created, and symbolic links are followed. On error, `path` is unchanged.

    Args:
        ours: matches the start of files that may be replaced without `overwrite`.
        overwrite: whether to replace other files; None if the command has no such option.

    Raises:
        UserError: `path` is not a regular file, or is a file that may not be replaced.
    """
    path = Path(path)
    _check_replaceable(path, ours, overwrite)
    target = Path(os.path.realpath(path))
    make_folder(target.parent)
    try:
        with temporary_folder(target.parent) as folder:
            temporary = folder / target.name
            yield temporary
            try:
                if overwrite or not _link_if_absent(temporary, target):
                    _check_replaceable(path, ours, overwrite)
                    os.replace(temporary, target)
            except FileExistsError:
                raise UserError(f"{path}: another process has created it meanwhile") from None
    except OSError as error:
        # Name `path`: encoders name no file or the temporary one, and HDF5 prints many lines.
        if number := find_full_errno(error):
            raise OSError(number, os.strerror(number), str(path)) from None
        if error.filename is None or PREFIX in str(error.filename):
            error.filename = str(path)
        raise


def _link_if_absent(temporary: Path, target: Path) -> bool:
    """Move `temporary` to `target` unless `target` exists; return whether it was moved."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, target)
    return True


def check_writable(
    path: Path,
    ours: re.Pattern[bytes] | None = None,
    overwrite: bool | None = False,
    inputs: Iterable[Path] = (),
) -> None:
    """Check that `atomic_write` can write `path`, so that errors are reported before any work.

    Args:
        inputs: files that are never replaced.

    Raises:
        UserError: `path` may not be replaced, is one of `inputs`, or is in a read-only folder.
    """
    path = Path(path)
    for each in inputs:
        with contextlib.suppress(OSError):
            if path.samefile(each):
                raise UserError(
                    f"{path}: is an input, which is never overwritten; name another file"
                )
    make_writable(Path(os.path.realpath(path)).parent)
    _check_replaceable(path, ours, overwrite)  # also catches names that are too long


def _check_replaceable(path: Path, ours: re.Pattern[bytes] | None, overwrite: bool | None) -> None:
    """Raise a UserError if there is something at `path` that may not be replaced."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{path}: is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            raise UserError(f"{path}: is not a regular file; name a file to write to")
        if overwrite:
            return
        with path.open("rb") as file:
            made_here = ours is not None and ours.match(file.read(_HEAD))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if not made_here:
        other = "" if ours is None else " and was not made by this program"
        mend = "remove it, or name another" if overwrite is None else "--overwrite replaces it"
        raise UserError(f"{path}: already exists{other}; {mend}")


def check_regular(path: Path) -> None:
    """Refuse devices, pipes and sockets at `path`: reading one might never end.

    A folder passes, since opening it raises a clear error anyway.

    Raises:
        UserError: `path` is neither a regular file nor a folder.
        OSError: `path` does not exist, or cannot be examined.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode):
        raise UserError(f"{path}: is a pipe; save it as a file first")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"{path}: is not a regular file")


def make_writable(folder: Path) -> None:
    """Create `folder`, and check that it can be written to.

    Raises:
        UserError: it cannot be created or written to.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made as a folder ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: no permission to write into it")


def find_bundled(folder: str) -> Path:
    """Find a folder that comes with the project, such as "weights"."""
    package = Path(__file__).parents[1]
    # In a clone it is next to the package; in an installation, inside it.
    parent = package if (package / folder).is_dir() else package.parent
    return parent / folder


def checksum(parts: Iterable[bytes]) -> str:
    """Compute the SHA-256 of the concatenated `parts`: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
