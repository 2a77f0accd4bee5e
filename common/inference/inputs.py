"""What there is to predict."""

from pathlib import Path

from ..data.kinds import BITSTREAM, PICTURE, VIDEO
from ..data.listing import Inputs, find_files, list_files, report_others


def find_inputs(paths: list[Path], coded: bool = False) -> Inputs:
    """Find the pictures and videos at `paths`, files or folders, each once and in that order.

    If `coded`, coded pictures in folders are included. Other files are reported on stderr.

    Raises:
        UserError: as `find_files`.
    """
    kinds = {PICTURE, VIDEO} | ({BITSTREAM} if coded else set())
    left_out: list[Path] = []

    def listed(folder: Path) -> list[Path]:
        files, others = list_files(folder, kinds, "pictures or videos")
        left_out.extend(others)
        return files

    inputs = find_files(paths, listed)
    report_others(list(dict.fromkeys(left_out)), kinds)
    return inputs
