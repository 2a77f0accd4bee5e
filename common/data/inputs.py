"""Files named by the arguments of a command."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..base.errors import UserError, report_skipped
from .text import readable


class Inputs(NamedTuple):
    """Files to process, and an error for each argument that names none."""

    files: list[tuple[Path, Path]]  # each with its path relative to the argument that names it
    errors: list[dict[str, str]]  # for JSON: `file` and `error`


def find_files(paths: Sequence[Path], listed: Callable[[Path], list[Path]]) -> Inputs:
    """Find the files at `paths` (files or folders), each once; report skipped ones on stderr.

    Args:
        listed: returns the files to use from a folder.

    Raises:
        UserError: there is no file at all.
    """
    files: dict[Path, Path] = {}
    errors = []
    for path in paths:
        try:
            for file, below in _files_at(path, listed):
                files.setdefault(file, below)
        except UserError as error:
            errors.append((path, error))
    if not files and len(errors) == 1:
        raise errors[0][1]
    for _, wrong in errors:
        report_skipped(wrong)
    if not files:
        raise UserError(f"none of the {len(errors)} inputs can be read")
    unread = [{"file": readable(path), "error": str(wrong)} for path, wrong in errors]
    return Inputs(list(files.items()), unread)


def _files_at(path: Path, listed: Callable[[Path], list[Path]]) -> list[tuple[Path, Path]]:
    try:
        path.stat()
        if path.is_dir():
            return [(file, file.relative_to(path)) for file in listed(path)]
        if path.is_file() and path.is_relative_to("/dev"):
            # /dev/stdin (a shell's `<`): programs that we start have another standard input.
            path = path.resolve()
        return [(path, Path(path.name))]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
