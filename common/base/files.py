"""Atomic writing of files, and the temporary folders used for it.

All temporary files lie in hidden folders, each with a lock that the process using it holds. So the
next run can tell what a killed process left behind from what is still in use, and removes it.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from .constants import SOFTWARE
from .errors import UserError

_PREFIX, _LOCK = ".laser-jnd-", "lock"
_TEMPORARY_FOLDER = re.compile(re.escape(_PREFIX) + "[a-z0-9_]{8}")
_LOCK_FILE = re.compile(re.escape(_PREFIX) + r"[0-9a-f]{8}\.lock")
# Names of what versions up to 0.9 left beside a file when they were killed.
_OLD_FILE = re.compile(r"\..+\.partial-[0-9a-f]{8}(\.[^.]+)?", re.DOTALL)
_OLD_FOLDER = re.compile(r"\..+\.scenes-[a-z0-9_]{8}", re.DOTALL)
_SECONDS_TO_LOCK = 60  # longer than a process takes between making a folder and locking it
_HEAD = 4096  # bytes read from the start of a file to tell whether it is ours
# The start of a PNG that names this program in its `Software` field.
OUR_PNG = re.compile(rb"\x89PNG.{0,2000}?tEXtSoftware\0" + SOFTWARE.encode(), re.DOTALL)
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}

# The temporary folders and locks that this process is using, and the folders it has swept.
_living: set[Path] = set()
_swept: set[Path] = set()


@contextlib.contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a hidden folder in `parent`, or in the system's temporary folder; remove it at the end.

    The folder also contains a file `lock`. The first call for a parent removes stale temporary
    folders and locks there and in the system's temporary folder.
    """
    system = Path(tempfile.gettempdir()).absolute()
    parent = Path(parent or system).absolute()
    for each in {parent, system} - _swept:
        _swept.add(each)
        remove_stale(each)
    folder, lock = _make_locked(parent)
    try:
        yield folder
    except OSError as error:
        if error.filename is None and _find_full_errno(error):
            error.filename = str(parent)
        raise
    finally:
        with contextlib.suppress(OSError):
            _remove(folder)  # while we still hold the lock
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)  # NFS keeps a file while it is open
        _living.discard(folder)


def _make_locked(parent: Path) -> tuple[Path, TextIO]:
    """Make a temporary folder with a lock file in it, and lock that file."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        _living.add(folder)
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            file = stack.enter_context((folder / _LOCK).open("w"))
            # On file systems without locks, no process considers a folder stale either.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                stack.pop_all()
                return folder, file
        # Another process removed it as stale before it was locked.
        _living.discard(folder)


def remove_stale(parent: Path) -> None:
    """Remove the temporary folders and locks in `parent` that no living process holds.

    What versions up to 0.9 left behind is removed, too.
    """
    try:
        entries = list(os.scandir(parent))
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):  # another process may be faster, or another user own it
            path, is_folder = Path(entry.path).absolute(), entry.is_dir(follow_symlinks=False)
            if (_TEMPORARY_FOLDER if is_folder else _LOCK_FILE).fullmatch(path.name):
                _remove_unless_held(path)
            elif is_folder and _OLD_FOLDER.fullmatch(path.name):
                # A folder of ours without a lock was killed as soon as it was made, so it is empty.
                _remove_unless_held(path) if (path / _LOCK).exists() else path.rmdir()
            elif not is_folder and _OLD_FILE.fullmatch(path.name):
                path.unlink()


def _remove_unless_held(path: Path) -> None:
    """Remove a temporary folder or a lock file unless a living process has locked it."""
    if path in _living:
        return
    lock = path / _LOCK if path.is_dir() else path
    try:
        number = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        try:
            path.rmdir()
        except OSError:
            if time.time() - path.stat().st_mtime > _SECONDS_TO_LOCK:
                _remove(path)
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(number), lock.stat()):
            _remove(path)
    finally:
        os.close(number)


def _remove(path: Path) -> None:
    """Remove a file or a folder.

    A folder's lock goes last, so that if we are killed the rest is still recognised as stale.
    """
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.name != _LOCK:
            os.unlink(entry.path)
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def atomic_write(
    path: Path, ours: re.Pattern[bytes] | None = None, overwrite: bool | None = False
) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` when the block succeeds.

    Missing folders are made, and symbolic links are followed. On any error, `path` is unchanged.

    Args:
        ours: matches the start of files that may be replaced without `overwrite`.
        overwrite: None where the command has no such option.

    Raises:
        UserError: `path` is not a regular file, or is a file that may not be replaced.
    """
    path = Path(path)
    _check_replaceable(path, ours, overwrite)
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary_folder(target.parent) as folder:
            temporary = folder / target.name
            yield temporary
            try:
                if overwrite or not _link_if_absent(temporary, target):
                    _check_replaceable(path, ours, overwrite)
                    os.replace(temporary, target)
            except FileExistsError:
                raise UserError(f"{path}: was made by another process meanwhile") from None
    except OSError as error:
        # Encoders name no file, or the temporary one, which is gone; HDF5 prints many lines.
        if number := _find_full_errno(error):
            raise OSError(number, os.strerror(number), str(path)) from None
        if error.filename is None or _PREFIX in str(error.filename):
            error.filename = str(path)
        raise


def _find_full_errno(error: OSError) -> int | None:
    """Return the errno if `error` says that a disk, quota or file is full, else None."""
    numbers = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
    return next((number for number in numbers if os.strerror(number) in str(error)), None)


def _link_if_absent(temporary: Path, target: Path) -> bool:
    """Move `temporary` to `target` unless that exists; return whether it was moved."""
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
    """Check that `atomic_write` can write `path`, to fail before the work and not after it.

    Args:
        inputs: files that are never replaced.

    Raises:
        UserError: it cannot, `path` is one of `inputs`, or its folder cannot be written to.
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
    """Check that nothing at `path` forbids replacing it.

    Raises:
        UserError: something there may not be replaced.
    """
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


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock for `path`, which is a folder, or a file that need not exist.

    The lock is a hidden file in the folder or beside the file, and is removed at the end.

    Raises:
        UserError: another run holds the lock, and `wait` is false.
    """
    name = f"{_PREFIX}{checksum([os.fsencode(path.name)])[:8]}.lock"
    lock = (path if path.is_dir() else path.parent).absolute() / name
    lock.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(lock.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                message = "another run is at work in it; wait for its end, or name another place"
                raise UserError(f"{path}: {message}") from None
            except OSError:
                break  # a file system without locks
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                    break
            # Otherwise the previous holder has removed the file that we locked: try again.
        _living.add(lock)
        stack.callback(_living.discard, lock)
        stack.callback(lock.unlink, missing_ok=True)
        yield


def checksum(parts: Iterable[bytes]) -> str:
    """SHA-256 of the `parts` in a row, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def write_arrays(
    path: Path,
    arrays: Mapping[str, Any],
    ours: re.Pattern[bytes] | None = None,
    overwrite: bool = False,
) -> None:
    """Write `arrays` as a file for `np.load`; `ours` and `overwrite` are as in `atomic_write`."""
    import numpy as np

    # NumPy's own writing keeps the file open, and complains a second time, when the disk is full.
    file = io.BytesIO()
    np.savez(file, **arrays)
    with atomic_write(path, ours, overwrite) as temporary:
        temporary.write_bytes(file.getbuffer())


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
