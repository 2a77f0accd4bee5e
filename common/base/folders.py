"""Folders that a program makes, and removes at its end if nothing was written into them."""

import contextlib
import os
from pathlib import Path

_new_folders: list[Path] = []  # made by this process, inner ones first


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, unless it exists.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        # Unless another process has removed it since, there is a file.
        if not folder.is_dir() and os.path.lexists(folder):
            raise
    finally:  # also if a signal comes now
        _new_folders[:0] = missing


def remove_empty_folders() -> None:
    """Remove the folders made by `make_folder` that are empty."""
    while _new_folders:
        with contextlib.suppress(OSError):
            _new_folders.pop(0).rmdir()
