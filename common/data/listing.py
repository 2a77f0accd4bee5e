"""Files below folders: which are pictures or videos, in what order, and what else is there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from natsort import natsort_keygen
from natsort import ns as order

from common.data.kinds import BITSTREAM, PICTURE, VIDEO, kind
from common.data.text import readable
from common.errors import UserError, say_left_out
from common.facts import HIDDEN
from common.models import bitstream

_natural = natsort_keygen(alg=order.PATH | order.IGNORECASE)
_MOST_SUFFIXES = 8  # that a message names


class Listing(NamedTuple):
    """The files of some kinds below a folder, in natural order, and all others there."""

    files: list[Path]
    others: list[Path]


def natural_key(path: Path) -> tuple:
    """What paths below one folder are sorted by: img2 before img10, upper case as lower case.

    Folders compare part by part, by the same letters in any locale. The path itself breaks ties
    between names that differ in case or in leading zeros alone. Bitstream files have the order of
    what was compressed.
    """
    return _natural(Path(readable(path).removesuffix(bitstream.SUFFIX))), str(path)


def files_below(folder: Path) -> Iterator[Path]:
    """Files below `folder`, subfolders included, in any order.

    Hidden files and folders are passed over, and so are folders that common.prepare made.

    Raises:
        UserError: a folder cannot be read.
    """

    def refuse(error: OSError) -> NoReturn:
        message = f"{error.strerror.lower()}; make it readable, or move it away"
        raise UserError(f"{error.filename}: {message}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        if HIDDEN in folders:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in names if not name.startswith("."))
        yield from filter(Path.is_file, paths)


def sort_files(folder: Path, kinds: Collection[str]) -> Listing:
    """Those of `files_below` that are of one of the `kinds`, and those that are not."""
    listing = Listing([], [])
    for path in sorted((path.relative_to(folder) for path in files_below(folder)), key=natural_key):
        (listing.files if kind(folder / path) in kinds else listing.others).append(folder / path)
    return listing


def list_files(folder: Path, kinds: Collection[str], what: str) -> Listing:
    """`sort_files` of a folder that must hold some of the `kinds`.

    Raises:
        UserError: there is no such folder, or no such file in it; told with what others it holds.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {what} were expected in it")
    listing = sort_files(folder, kinds)
    if not listing.files:
        mend = f", but {_counted(listing.others)}; convert pictures of other kinds to PNG"
        raise UserError(f"{folder}: no {what} in it{mend if listing.others else ''}")
    return listing


def list_images(folder: Path, coded: bool = False) -> list[Path]:
    """Image files below `folder`, in natural order; if `coded` will do, bitstream files as well.

    Raises:
        UserError: as `list_files`, or there are both.
    """
    images = list_files(folder, {PICTURE, BITSTREAM} if coded else {PICTURE}, "images").files
    if len({bitstream.is_coded(path) for path in images}) > 1:
        raise UserError(f"{folder}: pictures and coded pictures in it; keep them in two folders")
    return images


def describe_others(others: Sequence[Path], kinds: Collection[str]) -> str:
    """What is not of the `kinds`: "3 files that are neither pictures nor videos (.txt, .db)"."""
    counts = Counter(path.suffix.lower() or "no suffix" for path in others).most_common()
    suffixes = [suffix for suffix, _ in counts[:_MOST_SUFFIXES]]
    suffixes += ["..."] if len(counts) > _MOST_SUFFIXES else []
    one = len(others) == 1
    pictures = f"neither {'a picture nor a video' if one else 'pictures nor videos'}"
    wanted = pictures if VIDEO in kinds else "not a picture" if one else "not pictures"
    files = "1 file that is" if one else f"{len(others)} files that are"
    return f"{files} {wanted} ({', '.join(map(readable, suffixes))})"


def tell_others(others: Sequence[Path], kinds: Collection[str]) -> None:
    """Say on stderr what a command passes over."""
    if others:
        say_left_out(describe_others(others, kinds))


def _counted(paths: Sequence[Path]) -> str:
    """How many there are of the most frequent kinds, as "2 .heic and 1 .gif"."""
    kinds = Counter(path.suffix.lower() or "nameless" for path in paths).most_common(3)
    return " and ".join(f"{count} {readable(each)}" for each, count in kinds)
