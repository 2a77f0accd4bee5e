"""What there is to predict."""

from __future__ import annotations

from pathlib import Path

from common.data.kinds import BITSTREAM, PICTURE, VIDEO
from common.data.listing import list_files, tell_others
from common.errors import UserError


def find_inputs(paths: list[Path], coded: bool = False) -> list[Path]:
    """The pictures and videos at `paths`, files or folders, each once and in that order.

    Of folders also the coded pictures, if `coded`; what else they hold is told on stderr.

    Raises:
        UserError: there is no such file or folder, or a folder without any.
    """
    kinds = {PICTURE, VIDEO} | ({BITSTREAM} if coded else set())
    inputs: list[Path] = []
    left_out: list[Path] = []
    for path in paths:
        if path.is_dir():
            files, others = list_files(path, kinds, "pictures or videos")
            inputs += files
            left_out += others
        elif path.exists():
            inputs.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    tell_others(list(dict.fromkeys(left_out)), kinds)
    return list(dict.fromkeys(inputs))
