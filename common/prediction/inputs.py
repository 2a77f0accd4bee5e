"""What there is to predict."""

from __future__ import annotations

from pathlib import Path

from common.data.frames import SUFFIXES, VIDEO_SUFFIXES, list_files
from common.data.inputs import Inputs, find_files
from common.models.bitstream import SUFFIX


def find_inputs(paths: list[Path], coded: bool = False) -> Inputs:
    """The pictures and videos at `paths`, files or folders, each once and in that order.

    Of folders also the coded pictures, if `coded`.

    Raises:
        UserError: as `find_files`.
    """
    kinds = SUFFIXES | VIDEO_SUFFIXES | ({SUFFIX} if coded else set())
    return find_files(paths, lambda folder: list_files(folder, kinds, "pictures or videos"))
