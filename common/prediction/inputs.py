"""What there is to predict."""

from __future__ import annotations

from pathlib import Path

from common.data.frames import SUFFIXES, VIDEO_SUFFIXES, list_files
from common.errors import UserError
from common.models.bitstream import SUFFIX


def find_inputs(paths: list[Path], coded: bool = False) -> list[Path]:
    """The pictures and videos at `paths`, files or folders, each once and in that order.

    Of folders also the coded pictures, if `coded`.

    Raises:
        UserError: there is no such file or folder, or a folder without any.
    """
    kinds = SUFFIXES | VIDEO_SUFFIXES | ({SUFFIX} if coded else set())
    inputs: list[Path] = []
    for path in paths:
        if path.is_dir():
            inputs += list_files(path, kinds, "pictures or videos")
        elif path.exists():
            inputs.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(dict.fromkeys(inputs))
