"""Inputs of `compress` and `decompress`, and the names of their outputs."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..base.errors import UserError, report_skipped
from ..base.files import OUR_PNG, atomic_write, check_writable
from ..codec.bitstream import MAGIC, SUFFIX, is_bitstream
from ..data.kinds import BITSTREAM, PICTURE
from ..data.listing import LEVELS_FILE, Inputs, find_inputs
from ..data.manifest import MANIFEST
from ..data.text import readable

OUR_BITSTREAM = re.compile(MAGIC)  # the start of a bitstream file


class Work(NamedTuple):
    """Pairs of an input and an output file, and the inputs that are skipped."""

    pairs: list[tuple[Path, Path]]
    errors: list[dict[str, str]]  # for JSON: `file` and `error`


def pair_pictures(paths: Sequence[Path], out: Path, overwrite: bool) -> Work:
    """Pair each picture at `paths`, files or folders, with its bitstream file below `out`.

    Inputs that cannot be read, or whose outputs cannot be written, are reported on stderr.

    Raises:
        UserError: no input remains, or two inputs have the same output.
    """
    found = find_inputs(paths, {PICTURE}, "images")
    return _pair(found, lambda name: name + SUFFIX, out, OUR_BITSTREAM, overwrite)


def pair_bitstreams(paths: Sequence[Path], out: Path, overwrite: bool) -> Work:
    """Pair each bitstream file at `paths`, files or folders, with its PNG below `out`.

    Raises:
        UserError: as `pair_pictures`.
    """
    found = find_inputs(paths, {BITSTREAM}, "bitstream files")

    def rename(name: str) -> str:
        # A file with another name is no bitstream file, which is told when it is read.
        stem = name[: -len(SUFFIX)] if is_bitstream(Path(name)) else name
        return f"{stem.removesuffix('.png')}.png"

    return _pair(found, rename, out, OUR_PNG, overwrite)


def _pair(
    found: Inputs, rename: Callable[[str], str], out: Path, ours: re.Pattern[bytes], overwrite: bool
) -> Work:
    sources: dict[Path, Path] = {}
    errors = [{"file": readable(path), "error": str(error)} for path, error in found.errors]
    for file, below in found.files:
        target = out / below.with_name(rename(below.name))
        if target in sources:
            raise UserError(f"{file} and {sources[target]} would both become {target}")
        sources[target] = file
    for target, file in list(sources.items()):
        try:
            check_writable(target, ours, overwrite, inputs=[file])
        except UserError as error:
            if len(sources) == 1 and not errors:
                raise
            report_skipped(error)
            errors.append({"file": readable(file), "error": str(error)})
            del sources[target]
    if not sources:
        raise UserError(f"{out}: none of the {len(errors)} inputs can be read and written there")
    return Work([(file, target) for target, file in sources.items()], errors)


def find_labels(root: Path, out: Path, overwrite: bool) -> list[tuple[Path, Path]]:
    """Pair the test levels and the manifest of `root` with the copies to make in `out`.

    Raises:
        UserError: `out` already contains other labels.
    """
    files = [(root / file, out / file) for file in (Path("test", LEVELS_FILE), Path(MANIFEST))]
    files = [(file, copy) for file, copy in files if file.is_file() and not _same(file, copy)]
    for file, copy in files:
        check_writable(copy, overwrite=overwrite, inputs=[file])
    return files


def copy_labels(files: list[tuple[Path, Path]], overwrite: bool) -> None:
    """Copy the pairs of files that `find_labels` returns."""
    for file, copy in files:
        with atomic_write(copy, overwrite=overwrite) as temporary:
            shutil.copyfile(file, temporary)


def _same(file: Path, copy: Path) -> bool:
    return copy.is_file() and copy.read_bytes() == file.read_bytes()
