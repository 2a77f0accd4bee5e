"""Making a folder that the models read: split, resumable, and the same however it was interrupted.

Beside what users see, rootdir/.prepare/ holds the options the folder was begun with and one record
a finished frame. A frame's record is written after its four images, and the levels after all
frames; so whatever moment a run is killed at, the next one knows what is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.data.frames import list_images, resized
from common.data.layout import LEVELS_FILE
from common.data.manifest import write_manifest
from common.datasets.contact_sheet import write_contact_sheet
from common.datasets.splitting import SPLITS, split_contents
from common.errors import UserError
from common.facts import HIDDEN
from common.files import replaced
from common.parallel import in_parallel

# Frames that one worker makes before it takes more: the picture or clip is opened once for them.
PORTION = 8
PREFIXES = ("", "jnd1", "jnd2", "jnd3")


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


class Dataset(NamedTuple):
    """What a folder is to be made from."""

    groups: list[list[Content]]  # contents that show the same thing, and belong in one split
    options: dict[str, object]  # all that the result depends on, for JSON
    notes: list[str]  # what was left out, a line each


class Summary(NamedTuple):
    """What was made."""

    frames: dict[str, int]  # by split
    mean_levels: list[float]
    notes: list[str]


def prepare(
    dataset: Dataset,
    root: Path,
    shares: Sequence[float],
    seed: int,
    test_contents: Iterable[str] = (),
    keep_size: bool = False,
) -> Summary:
    """Make rootdir from a dataset, or go on with one that an interrupted run began.

    Images are resized to the models' 640x352 unless `keep_size`. Frames that cannot be made are
    left out and told in the notes.

    Raises:
        UserError: the folder holds something else, or no frame could be made.
    """
    root = Path(root)
    test_contents = sorted(test_contents)
    options = {
        **dataset.options,
        "split": list(shares),
        "seed": seed,
        "test_contents": test_contents,
        "keep_size": keep_size,
    }
    names = [[content.name for content in group] for group in dataset.groups]
    split = split_contents(names, shares, seed, test_contents)
    with _begun(root, options):
        done = _records(root)
        _sweep(root, done)
        stopping = threading.Event()

        def make(portion: tuple[Content, list[str]]) -> list[str]:
            content, frames = portion
            notes = []
            for note in _make(root, split[content.name], content, frames, keep_size):
                notes += [note] if note else []
                if stopping.is_set():
                    break
            return notes

        try:
            made = in_parallel(make, _portions(dataset, done), "frames")
        finally:
            stopping.set()
        notes = dict.fromkeys(note for notes in made for note in notes)
        return _finish(root, [*dataset.notes, *notes])


def _portions(dataset: Dataset, done: Container[str]) -> Iterator[tuple[Content, list[str]]]:
    """What is left to make: a content and some of its frames each."""
    for content in (content for group in dataset.groups for content in group):
        missing = [name for name in content.frames if name not in done]
        for start in range(0, len(missing), PORTION):
            yield content, missing[start : start + PORTION]


def listed(numbers: list[int], what: str) -> list[str]:
    """`["3 clips without labels: 1-2, 7"]` of `clip(s) without labels`; nothing for no numbers."""
    if not numbers:
        return []
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    plural = what.replace("(s)", "" if len(numbers) == 1 else "s")
    return [f"{len(numbers)} {plural}: {', '.join('-'.join(map(str, run)) for run in runs)}"]


@contextlib.contextmanager
def _begun(root: Path, options: dict[str, object]) -> Iterator[None]:
    """Have the folder to ourselves, new or begun with the same options."""
    hidden = root / HIDDEN
    if root.exists() and not hidden.is_dir() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root}: exists and was not made by common.prepare; give a new --out")
    hidden.mkdir(parents=True, exist_ok=True)
    with (hidden / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{root}: another common.prepare is at work in it") from None
        _check_options(root, json.loads(json.dumps(options)))
        yield


def _check_options(root: Path, options: dict[str, object]) -> None:
    path = root / HIDDEN / "options.json"
    if not path.exists():
        with replaced(path) as beside:
            beside.write_text(json.dumps(options, indent=1) + "\n")
        return
    before = json.loads(path.read_text())
    differing = [key for key in {**before, **options} if before.get(key) != options.get(key)]
    if differing:
        told = "; ".join(
            f"{key} was {before.get(key)}, is {options.get(key)}" for key in sorted(differing)
        )
        raise UserError(f"{root}: begun otherwise ({told}); give a new --out, or remove it")


def _records(root: Path) -> dict[str, dict[str, str]]:
    """Manifest rows of the finished frames by name."""
    paths = sorted((root / HIDDEN / "frames").glob("[!.]*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def _sweep(root: Path, done: dict[str, dict[str, str]]) -> None:
    """Remove what a killed run left half made: temporary files, and images without a record."""
    of_images = {root / f"{prefix}{split}" for split in SPLITS for prefix in PREFIXES}
    for path in root.rglob("*"):
        without_record = (
            path.parent in of_images and path.suffix == ".png" and path.stem not in done
        )
        if path.is_file() and (path.name.startswith(".") or without_record):
            path.unlink()


def _make(
    root: Path, split: str, content: Content, names: list[str], keep_size: bool
) -> Iterator[str | None]:
    """Make frames of a content one by one; yields why some could not be made, None for the rest."""
    try:
        for frame in content.make(names):
            if isinstance(frame, UserError):
                yield f"{frame}; left out"
                continue
            images = frame.images if keep_size else [resized(image) for image in frame.images]
            _save(root, split, frame.name, images)
            row = {"file": f"{split}/{frame.name}.png", "split": split, "content": content.name}
            with replaced(root / HIDDEN / "frames" / f"{frame.name}.json") as path:
                path.write_text(json.dumps({**row, **frame.row}) + "\n")
            yield None
    except UserError as error:
        yield f"{error}; left out"


def _save(root: Path, split: str, name: str, images: Sequence[np.ndarray]) -> None:
    """The four images of a frame, or none of them."""
    paths = [root / f"{prefix}{split}" / f"{name}.png" for prefix in PREFIXES]
    try:
        for path, image in zip(paths, images):
            with replaced(path) as beside:
                # Level 3 takes half the time of the default, and frames come out no larger.
                Image.fromarray(image).save(beside, compress_level=3)
    except BaseException as error:
        for path in paths:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(root)
        raise


def _finish(root: Path, notes: list[str]) -> Summary:
    """Write what needs all frames: the manifest, the contact sheet and, last, the levels."""
    records = _records(root)
    if not records:
        raise UserError(
            f"{root}: no frame could be made; {'; '.join(notes[:3]) or 'nothing in it'}"
        )
    files = {
        split: list_images(root / split) if any((root / split).glob("*.png")) else []
        for split in SPLITS
    }
    rows = [records[path.stem] for split in SPLITS for path in files[split]]
    write_manifest(root, rows)
    write_contact_sheet(root, rows)
    for split in SPLITS:
        if files[split]:
            lines = [
                " ".join(records[path.stem][f"jnd{order}"] for order in (1, 2, 3))
                for path in files[split]
            ]
            with replaced(root / split / LEVELS_FILE) as path:
                path.write_text("\n".join(lines) + "\n")
    levels = np.array([[float(row[f"jnd{order}"]) for order in (1, 2, 3)] for row in rows])
    counts = {split: len(files[split]) for split in SPLITS}
    return Summary(counts, levels.mean(axis=0).tolist(), notes)
