"""Making a folder that the models read: split, resumable, and the same however it was interrupted.

Beside what users see, ROOT/.prepare/ holds the options the folder was begun with and one record
a finished frame. A frame's record is written after its four images, and the levels after all
frames; so whatever moment a run is killed at, the next one knows what is whole.
"""

import contextlib
import functools
import itertools
import json
import zlib
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..base.constants import HIDDEN, SPLITS
from ..base.errors import UserError
from ..base.files import atomic_write, checksum, make_writable
from ..base.parallel import cluster_map, parallel_map
from ..base.temporary import lock, remove_stale
from ..data.frames import resize
from ..data.kinds import PICTURE, kind
from ..data.listing import files_below, natural_key
from ..data.manifest import COLUMNS, LEVEL_COLUMNS, find_impossible_level, write_manifest
from ..data.side_by_side import write_contact_sheet
from ..data.split import LEVELS_FILE
from ..video.frame_codecs import whole
from ..video.quality import versions
from .splitting import split_contents

# Frames that one worker makes before it takes more: the picture or clip is opened once for them.
PORTION = 8
# What every record tells, by the manifest's columns; some tell of all columns.
RECORDED = {"file", "split", "content", *LEVEL_COLUMNS, "level_kind", "codec"}


class Frame(NamedTuple):
    """A frame as made from its content: RGB images and what the manifest says of it."""

    name: str  # of its files, without suffix
    images: Sequence[np.ndarray]  # source, JND1, JND2, JND3: uint8 [height, width, 3]
    row: dict[str, str]  # manifest columns but `file`, `split` and `content`


class Content(NamedTuple):
    """A clip or picture. `make` yields the frames asked for, or why one cannot be made."""

    name: str
    frames: list[str]
    make: Callable[[list[str]], Iterator[Frame | UserError]]
    variations: Sequence[str] = ()  # of these frames: for the dataset's `vary_splits` alone


class Dataset(NamedTuple):
    """What a folder is to be made from."""

    groups: list[list[Content]]  # contents that show the same thing, and belong in one split
    options: dict[str, Any]  # all that the result depends on: `inputs` anything, else JSON
    notes: list[str]  # what was left out, a line each
    vary_splits: Sequence[str] = ()  # that get the contents' variations


def prepare(
    dataset: Dataset,
    root: Path,
    shares: list[float],
    seed: int,
    named: list[str],
    keep_size: bool,
    scheduler: str | None,
) -> list[str]:
    """Make ROOT from a dataset, or go on with one that an interrupted run began.

    The contents `named` go to test. Images are resized to the models' 640x352 unless `keep_size`.
    Frames that cannot be made are left out; that and the dataset's own notes are returned. The
    workers of a Dask `scheduler` make the frames where one is named.

    Raises:
        UserError: the folder holds something else, or no frame could be made.
    """
    options = {**dataset.options, "split": shares, "seed": seed, "keep_size": keep_size}
    options["test_contents"] = sorted(named)
    options["inputs"] = checksum([repr(options["inputs"]).encode()])[:16]  # it may be long
    names = [[content.name for content in group] for group in dataset.groups]
    split = split_contents(names, shares, seed, named)
    contents = [_with_variations(content, split, dataset) for content in chain(*dataset.groups)]
    files = {
        name: f"{split[content.name]}/{name}.png" for content in contents for name in content.frames
    }
    if not files:
        raise _none_made(root, dataset.notes)
    with _begun(root, options):
        done = _records(root, files)
        _sweep(root, files, done)
        _refuse_strays(root, files)
        portions = _portions(contents, done)
        make = functools.partial(_make, root, split, keep_size)
        seen = functools.partial(_seen, root)
        spread = functools.partial(cluster_map, scheduler, seen) if scheduler else parallel_map
        notes_of_each = spread(
            make, portions, "frames", sizes=[len(names) for _, names in portions]
        )
        _refuse_strays(root, files)
        notes = [*dataset.notes, *dict.fromkeys(note for notes in notes_of_each for note in notes)]
        done = _records(root, files)
        _sweep(root, files, done)  # of what a killed worker left
        if not done:
            raise _none_made(root, notes)
        _write_tables(root, list(done.values()))
        return notes


def _with_variations(content: Content, split: dict[str, str], dataset: Dataset) -> Content:
    """A content with its variations among its frames, if its split gets them."""
    varied = split[content.name] in dataset.vary_splits
    return content._replace(frames=[*content.frames, *(content.variations if varied else [])])


def _none_made(root: Path, notes: list[str]) -> UserError:
    return UserError(f"{root}: no frame could be made; {'; '.join(notes[:3])}")


def level_columns(
    levels: Sequence[float], codec: str, encoder: str, made: Callable
) -> dict[str, str]:
    """Manifest columns of three levels, and how the JND frame at a whole level was `made`."""
    columns = {"codec": codec, "encoder": encoder}
    for order, level in enumerate(levels, 1):
        columns[f"jnd{order}"], columns[f"coded{order}"] = f"{level:g}", str(whole(level))
        columns[f"jnd{order}_frame"] = made(whole(level))
    return columns


def listed(numbers: Collection[int], what: str) -> list[str]:
    """`["3 clips without labels: 1-2, 7"]` of `clip(s) without labels`; nothing for no numbers."""
    groups = itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    runs = [[str(number) for _, number in group] for _, group in groups]
    ranges = ", ".join("-".join(dict.fromkeys((run[0], run[-1]))) for run in runs)
    what = what.replace("(s)", "" if len(numbers) == 1 else "s")
    return [f"{len(numbers)} {what}: {ranges}"] if numbers else []


@contextlib.contextmanager
def _begun(root: Path, options: dict[str, Any]) -> Iterator[None]:
    """Have the folder to ourselves, new or begun with the same options."""
    hidden = root / HIDDEN
    if root.exists() and not hidden.is_dir() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root}: exists and was not made by common.prepare; give a new --out")
    make_writable(hidden)
    with lock(root):
        _check_options(root, options)
        yield


def _check_options(root: Path, options: dict[str, Any]) -> None:
    path = root / HIDDEN / "options.json"
    if not path.exists():
        with atomic_write(path, overwrite=True) as beside:
            beside.write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")
    try:
        before = dict(json.loads(path.read_bytes()))
    except (TypeError, ValueError):
        raise UserError(f"{path}: damaged; give a new --out, or remove {root}") from None
    differing = sorted(key for key in before | options if before.get(key) != options.get(key))
    if differing:
        message = "; ".join(
            f"{key} was {before.get(key)}, is {options.get(key)}" for key in differing
        )
        raise UserError(f"{root}: begun otherwise ({message}); give a new --out, or remove it")


def _images(root: Path, file: str) -> list[Path]:
    """An image and its JND frames, or the folders that hold them."""
    return [root / f"{prefix}{file}" for prefix in ("", "jnd1", "jnd2", "jnd3")]


def _records(root: Path, files: dict[str, str]) -> dict[str, dict[str, str]]:
    """Manifest rows, by name, of those frames of the dataset that are finished."""
    return {name: row for name, file in files.items() if (row := _record(root, name, file))}


def _record(root: Path, name: str, file: str) -> dict[str, str] | None:
    """The record of a frame; None where it is missing or damaged, or an image of it is missing."""
    try:
        row = json.loads((root / HIDDEN / "frames" / f"{name}.json").read_bytes())
        sound = RECORDED <= row.keys() <= set(COLUMNS) and not find_impossible_level(row)
        sound = sound and row["file"] == file == f"{row['split']}/{name}.png"
    except (FileNotFoundError, AttributeError, TypeError, ValueError):
        return None
    return row if sound and all(path.is_file() for path in _images(root, file)) else None


def _sweep(root: Path, files: dict[str, str], done: Container[str]) -> None:
    """Remove temporary files of ours and images of frames that are not `done`; no one else's."""
    folders = [root, root / HIDDEN, root / HIDDEN / "frames"]
    folders += [path for split in SPLITS for path in _images(root, split)]
    for folder in folders:
        remove_stale(folder)
    for name, file in files.items():
        for path in _images(root, file) if name not in done else []:
            path.unlink(missing_ok=True)


def _refuse_strays(root: Path, files: dict[str, str]) -> None:
    """Refuse images that are not ours among ours: levels and JND frames pair by order."""
    ours = {path for file in files.values() for path in _images(root, file)}
    for folder in (path for split in SPLITS for path in _images(root, split) if path.is_dir()):
        for path in files_below(folder):
            if path not in ours and kind(path) == PICTURE:
                raise UserError(
                    f"{path}: not made by common.prepare; move it elsewhere, since each image in "
                    "this folder is paired with its levels by its place"
                )


def _portions(contents: list[Content], done: Container[str]) -> list[tuple[Content, list[str]]]:
    """The frames that are not `done`, a worker's portion at a time."""
    left = [(each, [name for name in each.frames if name not in done]) for each in contents]
    return [
        (content, names[start : start + PORTION])
        for content, names in left
        for start in range(0, len(names), PORTION)
    ]


def _make(
    root: Path, splits: dict[str, str], keep_size: bool, portion: tuple[Content, list[str]]
) -> list[str]:
    """Make frames of a content; gives why some could not be made."""
    content, names = portion
    split, notes = splits[content.name], []
    try:
        for frame in content.make(names):
            if isinstance(frame, UserError):
                notes.append(f"{frame}; left out")
                continue
            images = frame.images if keep_size else [resize(image) for image in frame.images]
            file = f"{split}/{frame.name}.png"
            for path, image in zip(_images(root, file), images):
                with atomic_write(path, overwrite=True) as beside:
                    # Of frames zlib finds little again: without looking for it a file is written
                    # in a third of the time, and comes out smaller.
                    Image.fromarray(image).save(beside, compress_type=zlib.Z_RLE)
            row = {"file": file, "split": split, "content": content.name, **frame.row}
            with atomic_write(
                root / HIDDEN / "frames" / f"{frame.name}.json", overwrite=True
            ) as path:
                path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    except UserError as error:
        notes.append(f"{error}; left out")
    return notes


def _seen(root: Path) -> dict[str, Any]:
    """What frames depend on beside what they are made from, for workers to compare."""
    begun = root / HIDDEN / "options.json"
    return {"ffmpeg": versions(), str(begun): checksum([begun.read_bytes()])[:16]}


def _write_tables(root: Path, rows: list[dict[str, str]]) -> None:
    """Write what needs all frames: the manifest, the contact sheet and, last, the levels."""
    rows.sort(key=lambda row: (SPLITS.index(row["split"]), natural_key(Path(row["file"]))))
    write_manifest(root, rows)
    write_contact_sheet(root, rows)
    for split, of_split in itertools.groupby(rows, lambda row: row["split"]):
        lines = [f"{row['jnd1']} {row['jnd2']} {row['jnd3']}\n" for row in of_split]
        with atomic_write(root / split / LEVELS_FILE, overwrite=True) as path:
            path.write_text("".join(lines), encoding="utf-8")
