"""What is in a folder that the models read, and what is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.constants import HIDDEN, LEVELS, QP, SCALES, SPLITS
from ..base.errors import UserError, as_result
from ..base.parallel import parallel_map
from ..data.listing import list_images
from ..data.manifest import MANIFEST, read_labels, read_manifest
from ..data.pictures import read_rgb
from ..data.split import LEVELS_FILE, describe_left_out, infer_codec, read_levels
from ..models.labels import Labels

BAR = 20  # characters of the histogram's longest bar

# One line of a report, after the name of the list that it belongs in.
Finding = tuple[str, str]


class Report(NamedTuple):
    """What `check` found, a line each."""

    there: list[str]
    warnings: list[str]
    errors: list[str]


class SplitFound(NamedTuple):
    """One of train, valid and test as it lies there, and why something of it cannot be read."""

    name: str
    errors: list[str]
    images: list[Path]
    levels: np.ndarray | None  # float32 [images, 3]
    jnd: dict[int, list[Path]]  # JND frames by order, where there are any


def check(root: Path) -> Report:
    """Look at all of a folder, and read every image in it.

    Errors are what would teach or measure a wrong thing, or stop a command: an unreadable file,
    counts or sizes that do not pair, levels in the wrong order, a JND frame that is its source, a
    content in two splits. Warnings are what may be meant: no JND frames, two equal levels.

    Raises:
        UserError: there is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    looks = [_split(root, name) for name in SPLITS]
    findings = [("errors", error) for split in looks for error in split.errors]
    splits = [split for split in looks if split.images]
    known = [split for split in splits if split.levels is not None]
    if not splits:
        findings.append(("errors", f"{root}: no images in any of {', '.join(SPLITS)}"))
    about = as_result(read_labels, root)
    if isinstance(about, Labels):
        findings.append(("there", f"levels: {about.codec}, {about.describe()}"))
        findings += _differences(root, splits)
        codec = about.codec
    else:
        codec = infer_codec(np.concatenate([split.levels for split in known])) if known else QP
        message = f"levels: {codec}, by their order; no {MANIFEST} says who gave them"
        findings.append(("there", message))
        if about or (root / HIDDEN).is_dir():
            unfinished = f"{root}: unfinished; run the same common.prepare command again"
            findings.append(("errors", str(about or unfinished)))
    for split in splits:
        if len(split.images) == 1 and split.levels is not None:
            message = "1 image with levels says little, and gives no interval of errors"
            findings.append(("warnings", f"{split.name}: {message}"))
        findings += chain(_pairs(root, split), _pictures(root, split), _order(split, codec))
        if left_out := describe_left_out(root / split.name):
            findings.append(("there", f"{split.name}: {left_out}"))
    if known:
        findings += [("there", line) for line in chain(_statistics(known), _histogram(known))]
    return Report(*([line for kind, line in findings if kind == name] for name in Report._fields))


def _counted(images: list[Path]) -> str:
    return f"{len(images)} image{'s' * (len(images) != 1)}"


def _split(root: Path, name: str) -> SplitFound:
    errors: list[str] = []

    def read(function: Callable, *arguments: object) -> Any:
        result = as_result(function, *arguments)
        if isinstance(result, UserError):
            errors.append(str(result))
            return None
        return result

    folder, file = root / name, root / name / LEVELS_FILE
    images = read(list_images, folder) if folder.is_dir() and any(folder.iterdir()) else None
    if not images:
        return SplitFound(name, errors, [], None, {})
    levels = read(read_levels, file, images) if name != "test" or file.exists() else None
    folders = {order: root / f"jnd{order}{name}" for order in (1, 2, 3)}
    jnd = {order: read(list_images, path) for order, path in folders.items() if path.exists()}
    there = {order: frames for order, frames in jnd.items() if frames}
    return SplitFound(name, errors, images, levels, there)


def _differences(root: Path, splits: list[SplitFound]) -> Iterator[Finding]:
    """Compare with the manifest."""
    rows = {row["file"]: row for row in read_manifest(root)}
    levels_of = {
        path.relative_to(root).as_posix(): None if split.levels is None else split.levels[index]
        for split in splits
        for index, path in enumerate(split.images)
    }
    for file in sorted(rows.keys() - levels_of):
        yield "errors", f"{file}: in {MANIFEST}, but not there"
    for file in sorted(levels_of.keys() - rows):
        yield "warnings", f"{file}: not in {MANIFEST}"
    for file in sorted(levels_of.keys() & rows):
        levels = np.array([float(rows[file][f"jnd{order}"]) for order in (1, 2, 3)], np.float32)
        if levels_of[file] is not None and not np.array_equal(levels, levels_of[file]):
            yield "errors", f"{file}: {MANIFEST} has other levels than {LEVELS_FILE}"
    homes = defaultdict(set)
    for row in rows.values():
        homes[row["content"]].add(row["split"])
    for content, names in homes.items():
        if len(names) > 1:
            yield "errors", f"{content}: in more than one split ({', '.join(sorted(names))})"


def _pairs(root: Path, split: SplitFound) -> Iterator[Finding]:
    """Whether images and JND frames pair, by their names and numbers."""
    for order in (1, 2, 3):
        folder, frames = f"jnd{order}{split.name}", split.jnd.get(order)
        if frames is None:
            if not (root / folder).exists() and split.name != "test":
                yield "warnings", f"{folder}: not there; stage 1 and the E2E models train with it"
            continue
        if len(frames) != len(split.images):
            stray = {path.stem for path in frames} ^ {path.stem for path in split.images}
            which = f" (unpaired: {', '.join(sorted(stray)[:5])})" if stray else ""
            yield (
                "errors",
                f"{folder}: {len(frames)} frames for {len(split.images)} images{which}",
            )
            continue
        pairs = zip(frames, split.images)
        differ = [f"{a.name} with {b.name}" for a, b in pairs if a.stem != b.stem]
        if differ:
            message = (
                f"{len(differ)} names differ from their images'; pairs go by order: {differ[0]}"
            )
            yield "warnings", f"{folder}: {message}"


def _pictures(root: Path, split: SplitFound) -> Iterator[Finding]:
    """Read all images of a split and compare each with its JND frames."""
    paired = [frames for frames in split.jnd.values() if len(frames) == len(split.images)]

    def look(index: int) -> tuple[str, list[str]]:
        source = as_result(read_rgb, split.images[index])
        if isinstance(source, UserError):
            return "", [str(source)]
        wrong = []
        for frames in paired:
            shown = frames[index].relative_to(root).as_posix()
            frame = as_result(read_rgb, frames[index])
            if isinstance(frame, UserError):
                wrong.append(str(frame))
            elif frame.shape != source.shape:
                wrong.append(f"{shown}: {_size(frame)}, but its source has {_size(source)}")
            elif np.array_equal(frame, source):
                wrong.append(f"{shown}: identical to its source")
        return _size(source), wrong

    looks = parallel_map(look, range(len(split.images)), f"{split.name} images")
    yield from (("errors", line) for _, wrong in looks for line in wrong)
    sizes = Counter(size for size, _ in looks if size)
    message = ", ".join([size for size, _ in sizes.most_common(3)] + ["..."] * (len(sizes) > 3))
    levels = "with levels" if split.levels is not None else "without levels"
    jnd = ", ".join(f"JND{order}" for order in split.jnd) or "none"
    yield "there", f"{split.name}: {_counted(split.images)} {levels}, {message}; JND frames: {jnd}"


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _order(split: SplitFound, codec: str) -> Iterator[Finding]:
    """Levels must grow coarser: QPs rise, quality factors fall."""
    if split.levels is None:
        return
    coarser = np.diff(split.levels, axis=1) * SCALES[codec].step
    direction = "rise" if codec == QP else "fall"
    files = [f"{split.name}/{image.name}" for image in split.images]
    for index in np.flatnonzero((coarser < 0).any(axis=1)):
        levels = ", ".join(f"{level:g}" for level in split.levels[index])
        yield "errors", f"{files[index]}: levels {levels} do not {direction}"
    equal = np.flatnonzero(coarser.min(axis=1) == 0)
    if len(equal):
        message = f"two equal levels in {len(equal)} rows, first {files[equal[0]]}"
        yield "warnings", f"{split.name}: {message}"


def _statistics(known: list[SplitFound]) -> Iterator[str]:
    """Mean, spread, and what always answering the training median would err by."""
    train = [split for split in known if split.name == "train"]
    median = np.median(np.concatenate([split.levels for split in train or known]), axis=0)
    answer = ", ".join(f"{level:g}" for level in median)
    whose = "train's" if train else "all levels'"
    yield f"always answering {whose} median ({answer}) errs by, on average:"
    head = "".join(f"{f'{level} mean':>13}{'sd':>6}{'error':>7}" for level in LEVELS)
    yield f"{'':8}{'frames':>8}{head}"
    for split in known:
        levels = split.levels
        columns = zip(levels.mean(0), levels.std(0), np.abs(levels - median).mean(0))
        cells = "".join(f"{mean:13.2f}{spread:6.2f}{error:7.2f}" for mean, spread, error in columns)
        yield f"{split.name:8}{len(levels):8}{cells}"


def _histogram(known: list[SplitFound]) -> Iterator[str]:
    """How often each level occurs, JND1 to JND3 side by side."""
    levels = np.floor(np.concatenate([split.levels for split in known]) + 0.5).astype(int)
    # Quality factors spread over a hundred values: at most some thirty rows.
    step = max(1, -(-(np.ptp(levels) + 1) // 30))
    rows = range(levels.min() // step * step, levels.max() + 1, step)
    counts = np.array([((levels >= row) & (levels < row + step)).sum(axis=0) for row in rows])
    yield f"{'level':>7}  " + "".join(f"{name:{BAR + 6}}" for name in LEVELS)
    for row, numbers in zip(rows, counts):
        name = f"{row}" if step == 1 else f"{row}-{row + step - 1}"
        lengths = np.maximum(1, np.rint(numbers * (BAR / counts.max())).astype(int))
        bars = [f"{'#' * long} {number}" * bool(number) for long, number in zip(lengths, numbers)]
        yield f"{name:>7}  {''.join(f'{bar:{BAR + 6}}' for bar in bars)}".rstrip()
