"""Listing of the pictures or videos below folders, in natural order, and of other files."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from natsort import natsort_keygen
from natsort import ns as order

from ..base.constants import HIDDEN
from ..base.errors import UserError, report_skipped
from ..codec import bitstream
from .kinds import BITSTREAM, PICTURE, VIDEO, kind
from .text import readable

_natural = natsort_keygen(alg=order.PATH | order.IGNORECASE)
LEVELS_FILE = "JND-Levels.txt"
_MOST_SUFFIXES = 8  # listed in a message


class Listing(NamedTuple):
    """Files of the requested kinds below a folder, in natural order, and all other files."""

    files: list[Path]
    others: list[Path]
    unreadable: list[tuple[Path, UserError]]  # folders, and links to what is not there


def natural_key(path: Path) -> tuple:
    """Return a sorting key for paths below one folder: img2 before img10, ignoring case.

    Paths compare part by part, the same way in any locale. The path itself breaks ties between
    names that differ only in case or in leading zeros. Bitstream files sort like the files that
    they were compressed from.
    """
    return _natural(Path(readable(path).removesuffix(bitstream.SUFFIX))), str(path)


def _refuse(folder: Path, error: UserError) -> NoReturn:
    raise error


def files_below(
    folder: Path, refuse: Callable[[Path, UserError], None] = _refuse
) -> Iterator[Path]:
    """Yield all files below `folder`, including pipes and links of any kind, in any order.

    Links to folders are not followed. Hidden files and folders are skipped, and so are folders that
    common.prepare made.

    Args:
        refuse: called for each folder that cannot be read.

    Raises:
        UserError: a folder cannot be read, and `refuse` is left out.
    """

    def fail(error: OSError) -> None:
        message = f"{str(error.strerror).lower()}; make it readable, or move it away"
        refuse(Path(error.filename), UserError(f"{error.filename}: {message}"))

    for parent, folders, names in os.walk(folder, onerror=fail):
        if not os.access(parent, os.X_OK):  # its names can be read, its files cannot
            folders.clear()
            fail(PermissionError(errno.EACCES, os.strerror(errno.EACCES), parent))
            continue
        if HIDDEN in folders:
            folders.clear()
            continue
        names += [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def sort_files(folder: Path, kinds: Collection[str]) -> Listing:
    """Separate the files below a folder into those of the `kinds` and others, without levels."""
    listing = Listing([], [], [])
    paths = files_below(folder, lambda *unreadable: listing.unreadable.append(unreadable))
    for path in sorted((path.relative_to(folder) for path in paths), key=natural_key):
        file = folder / path
        if file.is_file() and kind(file) in kinds:
            listing.files.append(file)
        elif not file.exists() and kind(file) in kinds:  # by its name
            wrong = UserError(f"{file}: a link to a file that is not there")
            listing.unreadable.append((file, wrong))
        elif file.name != LEVELS_FILE:
            listing.others.append(file)
    listing.unreadable.sort(key=lambda each: natural_key(each[0]))
    return listing


def list_files(folder: Path, kinds: Collection[str], what: str) -> Listing:
    """Call `list_readable_files` on a folder whose subfolders must all be readable.

    Raises:
        UserError: one is not, or as `list_readable_files`.
    """
    listing = list_readable_files(folder, kinds, what)
    for _, error in listing.unreadable:
        raise error
    return listing


def list_readable_files(folder: Path, kinds: Collection[str], what: str) -> Listing:
    """Call `sort_files` on a folder that must contain files of one of the `kinds`.

    Raises:
        UserError: there is no such folder, or no such file in it (the message says what else is).
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {what} were expected in it")
    listing = sort_files(folder, kinds)
    if not listing.files:
        for _, error in listing.unreadable:
            raise error
        others = describe_others(listing.others, kinds)
        remedy = f", but {others}; convert pictures of other kinds to PNG" if others else ""
        raise UserError(f"{folder}: no {what} in it{remedy}")
    return listing


def list_images(folder: Path, coded: bool = False) -> list[Path]:
    """List the images below `folder` in natural order; if `coded`, bitstream files, too.

    Raises:
        UserError: as `list_files`, or there are both images and bitstream files.
    """
    images = list_files(folder, {PICTURE, BITSTREAM} if coded else {PICTURE}, "images").files
    if len({bitstream.is_bitstream(path) for path in images}) > 1:
        raise UserError(f"{folder}: pictures and bitstream files in it; keep them in two folders")
    return images


def describe_others(others: Sequence[Path], kinds: Collection[str]) -> str:
    """Describe `others`: "3 files that are neither pictures nor videos (.txt, .db)"."""
    if not others:
        return ""
    names = ("link to a folder" if path.is_dir() else path.suffix.lower() for path in others)
    counts = Counter(name or "no suffix" for name in names).most_common()
    suffixes = [suffix for suffix, _ in counts[:_MOST_SUFFIXES]]
    suffixes += ["..."] if len(counts) > _MOST_SUFFIXES else []
    one = len(others) == 1
    pictures = f"neither {'a picture nor a video' if one else 'pictures nor videos'}"
    wanted = pictures if VIDEO in kinds else "not a picture" if one else "not pictures"
    files = "1 file that is" if one else f"{len(others)} files that are"
    return f"{files} {wanted} ({', '.join(map(readable, suffixes))})"


class Inputs(NamedTuple):
    """Files to process, and errors."""

    files: list[tuple[Path, Path]]  # each with its path relative to the argument that names it
    errors: list[tuple[Path, UserError]]  # each argument without files, and unreadable folder


def find_inputs(paths: Sequence[Path], kinds: Collection[str], what: str) -> Inputs:
    """Find the files of one of the `kinds` at `paths`, files or folders, each once and in order.

    Skipped files and arguments are reported on stderr.

    Raises:
        UserError: there is no file at all.
    """
    files: dict[Path, Path] = {}
    others: dict[Path, None] = {}
    errors: dict[Path, UserError] = {}
    for path in paths:
        try:
            found, listing = _find_at(path, kinds, what)
        except UserError as error:
            errors.setdefault(path, error)
            continue
        for file, below in found:
            files.setdefault(file, below)
        others |= dict.fromkeys(listing.others)
        for folder, wrong in listing.unreadable:
            errors.setdefault(folder, wrong)
    if not files and len(errors) == 1:
        raise next(iter(errors.values()))
    for wrong in errors.values():
        report_skipped(wrong)
    if not files:
        raise UserError(f"none of the {len(errors)} inputs can be read")
    if others:
        report_skipped(describe_others([*others], kinds))
    return Inputs(list(files.items()), list(errors.items()))


def _find_at(
    path: Path, kinds: Collection[str], what: str
) -> tuple[list[tuple[Path, Path]], Listing]:
    """Find the files at a path, with their paths relative to it, and what else is in it."""
    try:
        path.stat()
        if path.is_dir():
            listing = list_readable_files(path, kinds, what)
            return [(file, file.relative_to(path)) for file in listing.files], listing
        if path.is_file() and path.is_relative_to("/dev"):
            # /dev/stdin (a shell's `<`) would be another file in the programs that we start.
            path = path.resolve()
        return [(path, Path(path.name))], Listing([path], [], [])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
