"""Which files pictures and coded pictures become."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from common.data.kinds import BITSTREAM, PICTURE
from common.data.layout import LEVELS_FILE
from common.data.listing import list_files, tell_others
from common.data.manifest import MANIFEST
from common.errors import UserError
from common.files import replaced
from common.models.bitstream import SUFFIX


def to_compress(paths: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each picture at `paths`, files or folders, and the coded picture below `out` it becomes.

    Raises:
        UserError: there is none, or two would become the same file.
    """

    def listed(folder: Path) -> list[Path]:
        files, others = list_files(folder, {PICTURE}, "images")
        tell_others(others, {PICTURE})
        return files

    return _pairs(paths, out, listed, lambda name: name + SUFFIX)


def to_decompress(paths: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each coded picture at `paths`, files or folders, and the PNG below `out` it becomes.

    Raises:
        UserError: as `to_compress`.
    """

    def listed(folder: Path) -> list[Path]:
        return list_files(folder, {BITSTREAM}, "coded pictures").files

    return _pairs(
        paths, out, listed, lambda name: f"{name[: -len(SUFFIX)].removesuffix('.png')}.png"
    )


def copy_labels(root: Path, out: Path) -> None:
    """Copy what ROOT tells of its test pictures, so that `out` is a ROOT of coded ones."""
    for file in (Path("test", LEVELS_FILE), Path(MANIFEST)):
        if (root / file).is_file():
            with replaced(out / file) as beside:
                shutil.copyfile(root / file, beside)


def _pairs(
    paths: Sequence[Path],
    out: Path,
    listed: Callable[[Path], list[Path]],
    become: Callable[[str], str],
) -> list[tuple[Path, Path]]:
    sources: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
        for file in listed(path) if path.is_dir() else [path]:
            below = file.relative_to(path) if path.is_dir() else Path(file.name)
            target = out / below.with_name(become(below.name))
            if sources.setdefault(target, file) != file:
                raise UserError(f"{file} and {sources[target]} would both become {target}")
    return [(file, target) for target, file in sources.items()]
