"""Temporary folders and locks that the next run can tell from those of a killed process.

A temporary folder is a hidden folder with a lock file in it. A process keeps that file locked
(flock) for as long as it uses the folder, and the kernel releases the lock when the process ends,
however it ends. So what no process holds is stale, and the next run removes it.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TextIO

from .errors import UserError

PREFIX, _LOCK = ".laser-jnd-", "lock"
_FOLDER = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")
_LOCK_FILE = re.compile(re.escape(PREFIX) + r"[0-9a-f]{8}\.lock")
_SECONDS_TO_LOCK = 60  # longer than a process takes between making a folder and locking it

_swept: set[Path] = set()  # folders in which this process has looked for stale ones


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
        if error.filename is None and find_full_errno(error):
            error.filename = str(parent)
        raise
    finally:
        with contextlib.suppress(OSError):
            _remove(folder)  # while we still hold the lock
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)  # NFS keeps a file while it is open


def _make_locked(parent: Path) -> tuple[Path, TextIO]:
    """Make a temporary folder with a lock file in it, and lock that file."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
            file = stack.enter_context((folder / _LOCK).open("w"))
            # On file systems without locks, no process considers a folder stale either.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                stack.pop_all()
                return folder, file
        # Another process removed it as stale before it was locked: try again.


def remove_stale(parent: Path) -> None:
    """Remove the temporary folders and lock files in `parent` that no living process holds."""
    try:
        entries = list(os.scandir(parent))
    except OSError:
        return
    for entry in entries:
        pattern = _FOLDER if entry.is_dir(follow_symlinks=False) else _LOCK_FILE
        if pattern.fullmatch(entry.name):
            with contextlib.suppress(OSError):  # another process is faster, or another user's
                _remove_unless_held(Path(entry.path))


def _remove_unless_held(path: Path) -> None:
    """Remove a temporary folder or a lock file unless a living process has locked it."""
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
    """Remove a lock file or a folder.

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
def lock(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock for `path`, which is a folder, or a file that need not exist.

    The lock is a hidden file in the folder or beside the file, and is removed at the end.

    Raises:
        UserError: another run holds the lock, and `wait` is false.
    """
    name = f"{PREFIX}{sha256(os.fsencode(path.name)).hexdigest()[:8]}.lock"
    hidden = (path if path.is_dir() else path.parent).absolute() / name
    hidden.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(hidden.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                message = "another run is at work in it; wait for its end, or name another place"
                raise UserError(f"{path}: {message}") from None
            except OSError:
                break  # a file system without locks
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), hidden.stat()):
                    break
            # Otherwise the previous holder has removed the file that we locked: try again.
        stack.callback(hidden.unlink, missing_ok=True)
        yield


def find_full_errno(error: OSError) -> int | None:
    """Return the errno if `error` says that a disk, quota or file is full, else None."""
    numbers = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
    return next((number for number in numbers if os.strerror(number) in str(error)), None)
