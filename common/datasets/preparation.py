"""Preparation of a dataset root; an interrupted run can be resumed with the same result.

ROOT/.prepare/ holds the options that the root was begun with and one record per finished frame. A
frame's record is written after its four images, and the levels after all frames, so after a kill
the next run knows what is complete.
"""

import contextlib
import functools
import itertools
import json
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from ..data.side_by_side import CONTACT_SHEET, write_contact_sheet
from ..data.split import LEVELS_FILE
from ..data.statistics import COUNT, STATISTICS, write_statistics
from ..models.labels import Labels
from ..video import jpeg
from ..video.quality import versions
from .contents import Content, Dataset
from .splitting import Division, split_contents

# Frames that a worker makes at a time, opening their picture or clip only once.
PORTION = 8
# The manifest's columns that every record has.
RECORDED = {"file", "split", "content", *LEVEL_COLUMNS, "level_kind", "codec"}

_Portion = tuple[Content, Sequence[str]]  # a content and the names of the frames to make of it


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The result of `prepare`."""

    labels: Labels
    levels: np.ndarray  # float [frames, 3]
    contact_sheet: Path
    counts: dict[str, int]  # frames by split
    notes: list[str]  # on inputs that were left out, one line each


def prepare(
    dataset: Dataset,
    root: Path,
    *,
    division: Division,
    keep_size: bool,
    scheduler: str | None,
) -> Prepared:
    """Make ROOT from a dataset, or continue an interrupted run.

    Frames that cannot be made are left out and noted.

    Args:
        division: as in `split_contents`.
        keep_size: whether to keep the size of images instead of resizing to 640x352.
        scheduler: the Dask scheduler whose workers make the frames, if any.

    Raises:
        UserError: the folder has other contents, or no frame could be made.
    """
    shares, seed, in_test, in_valid = division
    options = {**dataset.options, "split": shares, "seed": seed, "keep_size": keep_size}
    options["test_contents"] = in_test
    if in_valid:  # otherwise absent, so that roots begun before this existed can be continued
        options["valid_contents"] = in_valid
    options["inputs"] = checksum([repr(options["inputs"]).encode()])[:16]  # may be long
    names_of = [[content.name for content in group] for group in dataset.groups]
    split = split_contents(names_of, division)
    contents = [_add_copies(each, split, dataset) for each in itertools.chain(*dataset.groups)]
    files = {
        name: f"{split[content.name]}/{name}.png" for content in contents for name in content.frames
    }
    if not files:
        raise _nothing_made(root, dataset.notes)
    with _claim(root, options):
        make = functools.partial(_make, root, split, keep_size)
        notes = [*dataset.notes, *_make_missing(root, contents, files, make, scheduler)]
        done = _read_records(root, files)
        if not done:
            raise _nothing_made(root, notes)
        rows = _write_tables(root, list(done.values()))
    return Prepared(
        labels=Labels.from_fields(rows[0]),
        levels=np.array([[float(row[column]) for column in LEVEL_COLUMNS] for row in rows]),
        contact_sheet=root / CONTACT_SHEET,
        counts={name: sum(row["split"] == name for row in rows) for name in SPLITS},
        notes=notes,
    )


def _add_copies(content: Content, split: dict[str, str], dataset: Dataset) -> Content:
    """Add a content's augmented copies to its frames if its split gets them."""
    if split[content.name] not in dataset.augmented_splits:
        return content
    return replace(content, frames=[*content.frames, *content.augmented])


def _nothing_made(root: Path, notes: list[str]) -> UserError:
    return UserError(f"{root}: no frame could be made; {'; '.join(notes[:3])}")


@contextlib.contextmanager
def _claim(root: Path, options: dict[str, Any]) -> Iterator[None]:
    """Lock the folder, which must be new or have been begun with the same options."""
    hidden = root / HIDDEN
    if root.exists() and not hidden.is_dir() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root}: exists and was not made by common.prepare; give a new --out")
    make_writable(hidden)
    with lock(root):
        path = hidden / "options.json"
        if not path.exists():
            with atomic_write(path, overwrite=True) as temporary:
                temporary.write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")
        try:
            before = dict(json.loads(path.read_bytes()))
        except (TypeError, ValueError):
            raise UserError(f"{path}: damaged; give a new --out, or remove {root}") from None
        differing = sorted(key for key in before | options if before.get(key) != options.get(key))
        if differing:
            changes = [f"{key} was {before.get(key)}, is {options.get(key)}" for key in differing]
            message = f"was begun with other settings ({'; '.join(changes)})"
            raise UserError(f"{root}: {message}; give a new --out, or remove it")
        yield


def _make_missing(
    root: Path,
    contents: list[Content],
    files: dict[str, str],
    make: Callable[[_Portion], list[str]],
    scheduler: str | None,
) -> list[str]:
    """Make the missing frames; return notes on those that could not be made."""
    done = _read_records(root, files)
    _remove_unfinished(root, files, done)
    _refuse_strays(root, files)
    missing = [(each, [name for name in each.frames if name not in done]) for each in contents]
    portions = [
        (content, names[start : start + PORTION])
        for content, names in missing
        for start in range(0, len(names), PORTION)
    ]
    sizes = [len(names) for _, names in portions]
    if scheduler:
        fingerprint = functools.partial(_fingerprint, root)
        notes = cluster_map(scheduler, fingerprint, make, portions, "frames", sizes)
    else:
        notes = parallel_map(make, portions, "frames", sizes)
    _refuse_strays(root, files)
    _remove_unfinished(root, files, _read_records(root, files))  # of killed workers
    return list(dict.fromkeys(itertools.chain(*notes)))


def _paths(root: Path, file: str) -> list[Path]:
    """Return the paths of an image and its JND frames, or of a split's folders."""
    return [root / f"{prefix}{file}" for prefix in ("", "jnd1", "jnd2", "jnd3")]


def _read_records(root: Path, files: dict[str, str]) -> dict[str, dict[str, str]]:
    """Read the manifest rows of the finished frames, by name."""
    return {name: row for name, file in files.items() if (row := _read_record(root, name, file))}


def _read_record(root: Path, name: str, file: str) -> dict[str, str] | None:
    """Read a frame's record; None if it is missing or damaged, or an image of it is missing."""
    try:
        row = json.loads((root / HIDDEN / "frames" / f"{name}.json").read_bytes())
        sound = RECORDED <= row.keys() <= {*COLUMNS, STATISTICS} and not find_impossible_level(row)
        sound = sound and row["file"] == file == f"{row['split']}/{name}.png"
        # Another version of this program may have measured other statistics.
        sound = sound and (STATISTICS not in row or len(row[STATISTICS]) == COUNT)
    except (FileNotFoundError, AttributeError, TypeError, ValueError):
        return None
    return row if sound and all(path.is_file() for path in _paths(root, file)) else None


def _remove_unfinished(root: Path, files: dict[str, str], done: Container[str]) -> None:
    """Remove only temporary files and the images of frames that are not `done`."""
    folders = [root, root / HIDDEN, root / HIDDEN / "frames"]
    folders += [path for split in SPLITS for path in _paths(root, split)]
    for folder in folders:
        remove_stale(folder)
    for name, file in files.items():
        for path in _paths(root, file) if name not in done else []:
            path.unlink(missing_ok=True)


def _refuse_strays(root: Path, files: dict[str, str]) -> None:
    """Refuse foreign images, since levels and JND frames are matched by order."""
    ours = {path for file in files.values() for path in _paths(root, file)}
    for folder in (path for split in SPLITS for path in _paths(root, split) if path.is_dir()):
        for path in files_below(folder):
            if path not in ours and kind(path) == PICTURE:
                raise UserError(
                    f"{path}: not made by common.prepare; move it elsewhere, since images and "
                    "levels in this folder pair by their order"
                )


def _make(root: Path, splits: dict[str, str], keep_size: bool, portion: _Portion) -> list[str]:
    """Make frames of a content; return notes on those that could not be made."""
    content, names = portion
    split, notes = splits[content.name], []
    try:
        for frame in content.make(names):
            if isinstance(frame, UserError):
                notes.append(f"{frame}; left out")
                continue
            images = frame.images if keep_size else [resize(image) for image in frame.images]
            file = f"{split}/{frame.name}.png"
            for path, image in zip(_paths(root, file), images):
                with atomic_write(path, overwrite=True) as temporary:
                    # Frames have few repetitions for zlib to find; without the search, files are
                    # smaller and are written in a third of the time.
                    Image.fromarray(image).save(temporary, compress_type=zlib.Z_RLE)
            row: dict[str, Any] = {
                "file": file,
                "split": split,
                "content": content.name,
                **frame.row,
            }
            if frame.statistics is not None:
                row[STATISTICS] = [round(float(number), 5) for number in frame.statistics]
            record = root / HIDDEN / "frames" / f"{frame.name}.json"
            with atomic_write(record, overwrite=True) as temporary:
                temporary.write_text(json.dumps(row) + "\n", encoding="utf-8")
    except UserError as error:
        notes.append(f"{error}; left out")
    return notes


def _fingerprint(root: Path) -> dict[str, Any]:
    """Describe what must be the same on every worker: tools, and the root as they see it."""
    options = root / HIDDEN / "options.json"
    tools = {"ffmpeg": versions(), "jpeg": jpeg.encoder()}
    return {**tools, str(options): checksum([options.read_bytes()])[:16]}


def _write_tables(root: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Write manifest, contact sheet and, last, the levels; return the rows in their order."""
    rows.sort(key=lambda row: (SPLITS.index(row["split"]), natural_key(Path(row["file"]))))
    write_statistics(root, rows)
    write_manifest(root, rows)
    write_contact_sheet(root, rows)
    for split, of_split in itertools.groupby(rows, lambda row: row["split"]):
        lines = [f"{row['jnd1']} {row['jnd2']} {row['jnd3']}\n" for row in of_split]
        with atomic_write(root / split / LEVELS_FILE, overwrite=True) as path:
            path.write_text("".join(lines), encoding="utf-8")
    return rows
