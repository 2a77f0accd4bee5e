"""What there is to predict."""

from __future__ import annotations

from pathlib import Path

from common.data.frames import SUFFIXES, VIDEO_SUFFIXES, list_files
from common.errors import UserError


def find_inputs(paths: list[Path]) -> list[Path]:
    """The pictures and videos at `paths`, files or folders, each once and in that order.

    Raises:
        UserError: there is no such file or folder, or a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += list_files(path, SUFFIXES | VIDEO_SUFFIXES, "pictures or videos")
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(dict.fromkeys(found))
