"""Folders that a program makes, and removes at its end if nothing was written into them."""

import contextlib
from pathlib import Path

_made: list[Path] = []  # by this process, inner folders before outer ones


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, unless it exists.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    _made[:0] = missing


def remove_empty_folders() -> None:
    """Remove the folders made by `make_folder` that are empty."""
    while _made:
        with contextlib.suppress(OSError):
            _made.pop(0).rmdir()
