"""What is in a folder that the models read, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data.frames import list_images, read_rgb
from common.data.layout import LEVELS_FILE, read_levels
from common.data.manifest import MANIFEST, Provenance, codec_by_order, provenance, read_manifest
from common.datasets.splitting import SPLITS
from common.errors import UserError
from common.facts import HIDDEN, LEVELS, QP
from common.parallel import in_parallel

BAR = 40  # characters of the histogram's longest bar


class Report(NamedTuple):
    """What `check` found, a line each."""

    there: list[str]
    warnings: list[str]
    errors: list[str]


class Split(NamedTuple):
    """One of train, valid and test as it lies there."""

    name: str
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
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    there: list[str] = []
    warnings: list[str] = []
    errors: list[str] = []
    splits = [split for split in (_split(root, name, errors) for name in SPLITS) if split]
    if not splits:
        errors.append(f"{root}: no images in any of {', '.join(SPLITS)}")
    about = _manifest(root, splits, warnings, errors)
    levels = [split.levels for split in splits if split.levels is not None]
    codec = about.codec if about else codec_by_order(np.concatenate(levels)) if levels else QP
    if about:
        there.append(f"levels: {codec}, {about.caption}")
    else:
        there.append(f"levels: {codec}, by their order; no {MANIFEST} says who gave them")
    for split in splits:
        _frames(root, split, there, warnings, errors)
        _order(split, codec, warnings, errors)
    there += _statistics(splits)
    there += _histogram(splits)
    return Report(there, warnings, errors)


def _split(root: Path, name: str, errors: list[str]) -> Split | None:
    """Files and levels of a split; None where it has no images."""
    try:
        if not (root / name).is_dir() or not any((root / name).iterdir()):
            return None
        images = list_images(root / name)
    except UserError as error:
        errors.append(str(error))
        return None
    levels = None
    try:
        if name != "test" or (root / name / LEVELS_FILE).exists():
            levels = read_levels(root / name / LEVELS_FILE, images)
    except UserError as error:
        errors.append(str(error))
    jnd = {}
    for order in (1, 2, 3):
        try:
            if (root / f"jnd{order}{name}").exists():
                jnd[order] = list_images(root / f"jnd{order}{name}")
        except UserError as error:
            errors.append(str(error))
    return Split(name, images, levels, jnd)


def _manifest(
    root: Path, splits: list[Split], warnings: list[str], errors: list[str]
) -> Provenance | None:
    """Compare with the manifest, where there is one."""
    try:
        about = provenance(root)
        rows = read_manifest(root) if about else []
    except UserError as error:
        errors.append(str(error))
        return None
    if not about:
        if (root / HIDDEN).is_dir():
            errors.append(f"{root}: unfinished; run the same common.prepare command again")
        return None
    by_file = {row["file"]: row for row in rows}
    found = {}
    for split in splits:
        for index, path in enumerate(split.images):
            found[path.relative_to(root).as_posix()] = (
                None if split.levels is None else split.levels[index]
            )
    for file in sorted(set(by_file) - set(found)):
        errors.append(f"{file}: in {MANIFEST}, but not there")
    for file in sorted(set(found) - set(by_file)):
        warnings.append(f"{file}: not in {MANIFEST}")
    for file in sorted(set(found) & set(by_file)):
        told = np.array([float(by_file[file][f"jnd{order}"]) for order in (1, 2, 3)], np.float32)
        if found[file] is not None and not np.array_equal(told, found[file]):
            errors.append(f"{file}: {MANIFEST} has other levels than {LEVELS_FILE}")
    homes: dict[str, set[str]] = {}
    for row in rows:
        homes.setdefault(row["content"], set()).add(row["split"])
    for content, names in homes.items():
        if len(names) > 1:
            errors.append(f"{content}: in more than one split ({', '.join(sorted(names))})")
    return about


def _frames(
    root: Path, split: Split, there: list[str], warnings: list[str], errors: list[str]
) -> None:
    """Read all images of a split and compare each with its JND frames."""
    name, images = split.name, split.images
    paired = {}
    for order in (1, 2, 3):
        folder, frames = f"jnd{order}{name}", split.jnd.get(order)
        if frames is None:
            if not (root / folder).exists() and name != "test":
                warnings.append(f"{folder}: not there; stage 1 and the E2E models train with it")
        elif len(frames) != len(images):
            stray = {path.stem for path in frames} ^ {path.stem for path in images}
            told = f" (unpaired: {', '.join(sorted(stray)[:5])})" if stray else ""
            errors.append(f"{folder}: {len(frames)} frames for {len(images)} images{told}")
        else:
            paired[order] = frames
            differ = [
                (image.name, frame.name)
                for image, frame in zip(images, frames)
                if image.stem != frame.stem
            ]
            if differ:
                warnings.append(
                    f"{folder}: {len(differ)} names differ from their images'; pairs go by order: "
                    f"{differ[0][1]} with {differ[0][0]}"
                )

    def look(index: int) -> tuple[tuple[int, int] | None, list[str]]:
        try:
            source = read_rgb(images[index])
        except UserError as error:
            return None, [str(error)]
        wrong = []
        for frames in paired.values():
            shown = frames[index].relative_to(root).as_posix()
            try:
                frame = read_rgb(frames[index])
            except UserError as error:
                wrong.append(str(error))
                continue
            if frame.shape != source.shape:
                sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (frame, source)]
                wrong.append(f"{shown}: {sizes[0]}, but its source has {sizes[1]}")
            elif np.array_equal(frame, source):
                wrong.append(f"{shown}: identical to its source")
        return (source.shape[1], source.shape[0]), wrong

    looks = in_parallel(look, range(len(images)), f"{name} images")
    errors += [line for _, wrong in looks for line in wrong]
    sizes = Counter(size for size, _ in looks if size)
    told = ", ".join(f"{width}x{height}" for (width, height), _ in sizes.most_common(3))
    with_jnd = ", ".join(f"JND{order}" for order in split.jnd) or "none"
    levels = "with levels" if split.levels is not None else "without levels"
    there.append(
        f"{name}: {len(images)} images {levels}, {told}{', ...' if len(sizes) > 3 else ''}; "
        f"JND frames: {with_jnd}"
    )


def _order(split: Split, codec: str, warnings: list[str], errors: list[str]) -> None:
    """Levels must grow coarser: QPs rise, quality factors fall."""
    if split.levels is None:
        return
    coarser = np.diff(split.levels, axis=1) * (1 if codec == QP else -1)
    direction = "rise" if codec == QP else "fall"
    for index in np.flatnonzero((coarser < 0).any(axis=1)):
        levels = ", ".join(f"{level:g}" for level in split.levels[index])
        file = f"{split.name}/{split.images[index].name}"
        errors.append(f"{file}: levels {levels} do not {direction}")
    equal = np.flatnonzero((coarser == 0).any(axis=1) & (coarser >= 0).all(axis=1))
    if len(equal):
        first = f"{split.name}/{split.images[equal[0]].name}"
        warnings.append(f"{split.name}: two equal levels in {len(equal)} rows, first {first}")
    limit = 51 if codec == QP else 100
    beyond = np.flatnonzero((split.levels > limit).any(axis=1))
    if len(beyond):
        first = f"{split.name}/{split.images[beyond[0]].name}"
        errors.append(f"{split.name}: {len(beyond)} rows beyond {codec} {limit}, first {first}")


def _statistics(splits: list[Split]) -> list[str]:
    """Mean, spread, and what always answering the training median would err by."""
    known = [split for split in splits if split.levels is not None]
    if not known:
        return []
    train = [split.levels for split in known if split.name == "train"]
    median = np.median((train or [np.concatenate([split.levels for split in known])])[0], axis=0)
    whose = "train's" if train else "all levels'"
    answer = ", ".join(f"{level:g}" for level in median)
    lines = [
        f"always answering {whose} median ({answer}) errs by, on average:",
        f"{'':8}{'frames':>8}"
        + "".join(f"{f'{level} mean':>13}{'sd':>6}{'error':>7}" for level in LEVELS),
    ]
    for split in known:
        error = np.abs(split.levels - median).mean(axis=0)
        cells = "".join(
            f"{mean:13.2f}{spread:6.2f}{wrong:7.2f}"
            for mean, spread, wrong in zip(split.levels.mean(0), split.levels.std(0), error)
        )
        lines.append(f"{split.name:8}{len(split.levels):8}{cells}")
    return lines


def _histogram(splits: list[Split]) -> list[str]:
    """How often each level occurs, JND1 to JND3 side by side."""
    known = [split.levels for split in splits if split.levels is not None]
    if not known:
        return []
    levels = np.floor(np.concatenate(known) + 0.5).astype(int)
    # Quality factors spread over a hundred values: at most some thirty rows.
    step = max(1, -(-(levels.max() - levels.min() + 1) // 30))
    first = levels.min() // step * step
    rows = range(first, levels.max() + 1, step)
    counts = np.array([((levels >= row) & (levels < row + step)).sum(axis=0) for row in rows])
    scale = BAR / 2 / counts.max()
    width = BAR // 2 + 6
    lines = [f"{'level':>7}  " + "".join(f"{name:{width}}" for name in LEVELS)]
    for row, numbers in zip(rows, counts):
        name = f"{row}" if step == 1 else f"{row}-{row + step - 1}"
        bars = "".join(f"{_bar(number, scale):{width}}" for number in numbers)
        lines.append(f"{name:>7}  {bars}".rstrip())
    return lines


def _bar(number: int, scale: float) -> str:
    return "#" * max(1, round(number * scale)) + f" {number}" if number else ""
