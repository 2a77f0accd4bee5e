"""Temporary folders and locks that are recognised as stale after a process was killed.

A process holds a lock (flock) on a lock file while it uses a target or a temporary folder, and the
kernel releases the lock however the process ends. So a temporary folder whose lock is not held is
stale, and the next run removes it.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from .errors import UserError
from .folders import make_folder

PREFIX = ".laser-jnd-"
_FOLDER = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")
_LEAST_FREE = 2**20  # bytes
_LOCK = re.compile(re.escape(PREFIX) + r"[0-9a-f]{8}\.lock")

_swept: set[Path] = set()  # folders from which this process has removed stale ones


@contextlib.contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a hidden folder in `parent` (default: the system's), and remove it after the block.

    The folder contains its own lock file. The first call for a parent also removes stale folders
    and locks from it and from the system's temporary folder.
    """
    system = Path(tempfile.gettempdir()).absolute()
    parent = Path(parent or system).absolute()
    for each in {parent, system} - _swept:
        _swept.add(each)
        remove_stale(each)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with _hold(_lock_file(folder, folder), wait=True):
            try:
                yield folder
            except RuntimeError as error:
                if is_full(folder):
                    reason = os.strerror(errno.ENOSPC)
                    raise OSError(errno.ENOSPC, reason, str(parent)) from error
                raise
            finally:
                _empty(folder)
    except OSError as error:
        if error.filename is None and find_full_errno(error):
            error.filename = str(parent)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_full(folder: Path) -> bool:
    """Check whether the disk of a folder is full; programs and libraries often do not tell."""
    return shutil.disk_usage(folder).free < _LEAST_FREE


@contextlib.contextmanager
def lock(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on `path`: a folder, or a file that need not exist.

    The lock is a hidden file in the folder or next to the file, removed after the block.

    Raises:
        UserError: another run holds the lock, and `wait` is false.
    """
    with contextlib.ExitStack() as stack:
        try:
            hidden = _lock_file(path if path.is_dir() else path.parent, path)
            stack.enter_context(_hold(hidden, wait))
        except BlockingIOError:
            message = "in use by another run; wait until it ends, or choose another path"
            raise UserError(f"{path}: {message}") from None
        yield


def _lock_file(folder: Path, path: Path) -> Path:
    digest = sha256(os.fsencode(path.name)).hexdigest()
    return folder.absolute() / f"{PREFIX}{digest[:8]}.lock"


@contextlib.contextmanager
def _hold(hidden: Path, wait: bool) -> Iterator[None]:
    """Create and lock a file; BlockingIOError if another process holds it and `wait` is false."""
    with contextlib.ExitStack() as stack:
        while True:
            with contextlib.suppress(FileNotFoundError):
                if not hidden.parent.is_dir():
                    make_folder(hidden.parent)
                file = stack.enter_context(hidden.open("w"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    raise
                except OSError:
                    break  # a file system without locks
                if os.path.samestat(os.fstat(file.fileno()), hidden.stat()):
                    break
            # Another process has removed the file that we locked: try again.
        stack.callback(hidden.unlink, missing_ok=True)
        yield


def remove_stale(parent: Path) -> None:
    """Remove the temporary folders and lock files in `parent` that no living process holds."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(parent)):
            is_folder = entry.is_dir(follow_symlinks=False)
            if (_FOLDER if is_folder else _LOCK).fullmatch(entry.name):
                with contextlib.suppress(OSError):  # held, or removed by another process
                    _remove_unless_held(Path(entry.path), is_folder)


def _remove_unless_held(path: Path, is_folder: bool) -> None:
    """Remove a temporary folder or a lock file.

    Raises:
        OSError: a living process has locked it, or the folder has contents but no lock.
    """
    held = _lock_file(path, path) if is_folder else path
    try:
        number = os.open(held, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        path.rmdir()  # its owner was killed, or has just made it and will make it again
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(number), held.stat()):
            if is_folder:
                _empty(path)
            held.unlink()
            if is_folder:
                path.rmdir()
    finally:
        os.close(number)


def _empty(folder: Path) -> None:
    """Empty a folder except for its lock, which marks it as stale if this process is killed."""

    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        elif not _LOCK.fullmatch(entry.name):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def find_full_errno(error: OSError) -> int | None:
    """Return the errno if `error` says that a disk, quota or file is full, else None."""
    numbers = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
    return next((number for number in numbers if os.strerror(number) in str(error)), None)
