"""Checks of a dataset root: a summary of its contents, warnings and errors."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.constants import HIDDEN, LEVELS, QP, SCALES, SPLITS
from ..base.errors import UserError, as_result
from ..base.parallel import parallel_map
from ..data.listing import list_images
from ..data.manifest import LEVEL_COLUMNS, MANIFEST, read_labels, read_manifest
from ..data.pictures import read_rgb
from ..data.split import LEVELS_FILE, describe_left_out, infer_codec, read_levels
from ..models.labels import Labels

BAR = 20  # characters of the histogram's longest bar


class Report(NamedTuple):
    """The findings of `check`, one line each."""

    there: list[str]
    warnings: list[str]
    errors: list[str]


class _Split(NamedTuple):
    """The readable part of a split."""

    name: str
    images: list[Path]
    levels: np.ndarray | None  # float32 [images, 3]
    jnd: dict[int, list[Path]]  # JND frames by order, where there are any


def check(root: Path) -> Report:
    """Check a whole dataset root, reading every image in it.

    Errors would falsify training or results, or stop a command: unreadable files, mismatched counts
    or sizes, levels in the wrong order, a JND frame that is identical to its source, a content in
    two splits. Warnings may be intended: no JND frames, two equal levels.

    Raises:
        UserError: there is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    report = Report([], [], [])
    splits = [split for name in SPLITS if (split := _read_split(root, name, report))]
    known = [split.levels for split in splits if split.levels is not None]
    if not splits:
        report.errors.append(f"{root}: no images in any of {', '.join(SPLITS)}")
    labels = as_result(read_labels, root)
    if isinstance(labels, Labels):
        codec = labels.codec
        report.there.append(f"levels: {codec}, {labels.describe()}")
        _compare_with_manifest(root, splits, report)
    else:
        codec = infer_codec(np.concatenate(known)) if known else QP
        unknown = f"origin unknown ({'damaged' if labels else 'no'} {MANIFEST})"
        report.there.append(f"levels: {codec}, inferred from their order; {unknown}")
        if labels or (root / HIDDEN).is_dir():
            unfinished = f"{root}: unfinished; run the same common.prepare command again"
            report.errors.append(str(labels or unfinished))
    for split in splits:
        if len(split.images) == 1 and split.levels is not None:
            message = "1 image with levels is too few for a confidence interval of errors"
            report.warnings.append(f"{split.name}: {message}")
        _check_pairs(root, split, report)
        _check_pictures(root, split, report)
        _check_order(split, codec, report)
        if left_out := describe_left_out(root / split.name):
            report.there.append(f"{split.name}: {left_out}")
    if known:
        report.there.extend(_summarise({s.name: s.levels for s in splits if s.levels is not None}))
        report.there.extend(_draw_histogram(np.concatenate(known)))
    return report


def _read_split(root: Path, name: str, report: Report) -> _Split | None:
    """Read a split as far as possible; None if it has no images."""

    def read(function: Callable, *arguments: object) -> Any:
        result = as_result(function, *arguments)
        if isinstance(result, UserError):
            report.errors.append(str(result))
            return None
        return result

    folder, file = root / name, root / name / LEVELS_FILE
    images = read(list_images, folder) if folder.is_dir() and any(folder.iterdir()) else None
    if not images:
        return None
    levels = read(read_levels, file, images) if name != "test" or file.exists() else None
    folders = {order: root / f"jnd{order}{name}" for order in (1, 2, 3)}
    jnd = {order: read(list_images, path) for order, path in folders.items() if path.exists()}
    return _Split(name, images, levels, {order: frames for order, frames in jnd.items() if frames})


def _compare_with_manifest(root: Path, splits: list[_Split], report: Report) -> None:
    rows = {row["file"]: row for row in read_manifest(root)}
    levels_of = {
        path.relative_to(root).as_posix(): None if split.levels is None else split.levels[index]
        for split in splits
        for index, path in enumerate(split.images)
    }
    for file in sorted(rows.keys() - levels_of):
        report.errors.append(f"{file}: in {MANIFEST}, but missing")
    for file in sorted(levels_of.keys() - rows):
        report.warnings.append(f"{file}: not in {MANIFEST}")
    for file in sorted(levels_of.keys() & rows):
        levels = [float(rows[file][column]) for column in LEVEL_COLUMNS]
        read = levels_of[file]
        if read is not None and not np.array_equal(read, np.array(levels, np.float32)):
            report.errors.append(f"{file}: {MANIFEST} has other levels than {LEVELS_FILE}")
    splits_of = defaultdict(set)
    for row in rows.values():
        splits_of[row["content"]].add(row["split"])
    for content, names in splits_of.items():
        if len(names) > 1:
            message = f"in more than one split ({', '.join(sorted(names))})"
            report.errors.append(f"{content}: {message}")


def _check_pairs(root: Path, split: _Split, report: Report) -> None:
    """Check that images and JND frames match in number and name."""
    for order in (1, 2, 3):
        folder, frames = f"jnd{order}{split.name}", split.jnd.get(order)
        if frames is None:
            if not (root / folder).exists() and split.name != "test":
                message = "missing; stage 1 and the E2E models train with it"
                report.warnings.append(f"{folder}: {message}")
        elif len(frames) != len(split.images):
            stray = {path.stem for path in frames} ^ {path.stem for path in split.images}
            which = f" (unpaired: {', '.join(sorted(stray)[:5])})" if stray else ""
            message = f"{len(frames)} frames for {len(split.images)} images{which}"
            report.errors.append(f"{folder}: {message}")
        elif differ := [pair for pair in zip(frames, split.images) if pair[0].stem != pair[1].stem]:
            first = " with ".join(path.name for path in differ[0])
            message = f"{len(differ)} names differ from their images'; pairs go by order: {first}"
            report.warnings.append(f"{folder}: {message}")


def _check_pictures(root: Path, split: _Split, report: Report) -> None:
    """Read all images of a split and compare each with its JND frames."""
    paired = [frames for frames in split.jnd.values() if len(frames) == len(split.images)]

    def compare(index: int) -> tuple[str, list[str]]:
        source = as_result(read_rgb, split.images[index])
        if isinstance(source, UserError):
            return "", [str(source)]
        wrong = []
        for frames in paired:
            name = frames[index].relative_to(root).as_posix()
            frame = as_result(read_rgb, frames[index])
            if isinstance(frame, UserError):
                wrong.append(str(frame))
            elif frame.shape != source.shape:
                wrong.append(f"{name}: {_size(frame)}, but its source has {_size(source)}")
            elif np.array_equal(frame, source):
                wrong.append(f"{name}: identical to its source")
        return _size(source), wrong

    compared = parallel_map(compare, range(len(split.images)), f"{split.name} images")
    report.errors.extend(line for _, wrong in compared for line in wrong)
    sizes = Counter(size for size, _ in compared if size)
    shown = ", ".join([size for size, _ in sizes.most_common(3)] + ["..."] * (len(sizes) > 3))
    count = f"{len(split.images)} image{'s' * (len(split.images) != 1)}"
    levels = "with levels" if split.levels is not None else "without levels"
    jnd = ", ".join(f"JND{order}" for order in split.jnd) or "none"
    report.there.append(f"{split.name}: {count} {levels}, {shown}; JND frames: {jnd}")


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _check_order(split: _Split, codec: str, report: Report) -> None:
    """Check that levels become coarser: QPs rise, or quality factors fall."""
    if split.levels is None:
        return
    coarser = np.diff(split.levels, axis=1) * SCALES[codec].step
    direction = "rise" if codec == QP else "fall"
    files = [f"{split.name}/{image.name}" for image in split.images]
    for index in np.flatnonzero((coarser < 0).any(axis=1)):
        levels = ", ".join(f"{level:g}" for level in split.levels[index])
        report.errors.append(f"{files[index]}: levels {levels} do not {direction}")
    equal = np.flatnonzero(coarser.min(axis=1) == 0)
    if len(equal):
        message = f"two equal levels in {len(equal)} rows, first {files[equal[0]]}"
        report.warnings.append(f"{split.name}: {message}")


def _summarise(levels_of: dict[str, np.ndarray]) -> Iterator[str]:
    """Tabulate the mean and spread of levels, and the training median's error, by split."""
    train = levels_of.get("train")
    median = np.median(np.concatenate([*levels_of.values()]) if train is None else train, axis=0)
    answer = ", ".join(f"{level:g}" for level in median)
    whose = "all levels'" if train is None else "train's"
    yield f"always answering {whose} median ({answer}) has the mean error:"
    head = "".join(f"{f'{level} mean':>13}{'sd':>6}{'error':>7}" for level in LEVELS)
    yield f"{'':8}{'frames':>8}{head}"
    for name, levels in levels_of.items():
        columns = zip(levels.mean(0), levels.std(0), np.abs(levels - median).mean(0))
        cells = "".join(f"{mean:13.2f}{spread:6.2f}{error:7.2f}" for mean, spread, error in columns)
        yield f"{name:8}{len(levels):8}{cells}"


def _draw_histogram(levels: np.ndarray) -> Iterator[str]:
    """Draw histograms of JND1 to JND3 side by side."""
    levels = np.floor(levels + 0.5).astype(int)
    # Quality factors have a hundred values, which are binned into about thirty rows.
    step = max(1, -(-(np.ptp(levels) + 1) // 30))
    rows = range(levels.min() // step * step, levels.max() + 1, step)
    counts = np.array([((levels >= row) & (levels < row + step)).sum(axis=0) for row in rows])
    yield f"{'level':>7}  " + "".join(f"{name:{BAR + 6}}" for name in LEVELS)
    for row, numbers in zip(rows, counts):
        name = f"{row}" if step == 1 else f"{row}-{row + step - 1}"
        lengths = np.maximum(1, np.rint(numbers * (BAR / counts.max())).astype(int))
        bars = [f"{'#' * long} {number}" * bool(number) for long, number in zip(lengths, numbers)]
        yield f"{name:>7}  {''.join(f'{bar:{BAR + 6}}' for bar in bars)}".rstrip()
