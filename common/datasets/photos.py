"""Anyone's pictures and videos, with levels that no viewer gave (see `objective`)."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from natsort import natsorted, ns
from PIL import Image

from common.codecs import h264
from common.data.frames import SUFFIXES, read_rgb
from common.data.manifest import STAND_IN
from common.datasets.objective import THRESHOLDS, find_levels
from common.datasets.preparation import Content, Dataset, Frame
from common.datasets.splitting import alike, thumbnail
from common.errors import UserError
from common.facts import HEIGHT, HIDDEN, QP, WIDTH
from common.parallel import in_parallel

VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".264", ".h264", ".y4m"}

Box = tuple[int, int, int, int]  # left, top, width, height


class Look(NamedTuple):
    """What a first look at a file found."""

    width: int
    height: int
    numbers: list[int]  # of the frames to take; empty for a picture
    thumbnail: np.ndarray


def dataset(
    images: Path,
    crops: int = 1,
    least_width: int = WIDTH,
    thresholds: Sequence[float] = THRESHOLDS,
    seed: int = 0,
    keep_size: bool = False,
) -> Dataset:
    """All pictures and videos below `images`, but those that `prepare` made, for `prepare`.

    Of a video the first frame of each second is taken. Files that show the same picture form one
    group, so that they land in one split.

    Args:
        crops: how many cut-outs of each picture.
        least_width: of the cut-outs, in pixels (for both see `boxes`).
        thresholds: VMAF of JND1, JND2, JND3, falling.
        seed: of the cut-outs.
        keep_size: cut-outs keep their size (made even) instead of becoming 640x352.

    Raises:
        UserError: no picture or video can be read, or ffmpeg lacks x264 or VMAF.
    """
    h264.binary("libx264")
    h264.binary("libvmaf")
    paths = _files(Path(images))
    looks = in_parallel(_look, paths, "looking")
    notes = [f"{look}; left out" for look in looks if isinstance(look, UserError)]
    names, contents, thumbnails = [], {}, []
    for index, (path, look) in enumerate(zip(paths, looks), 1):
        if isinstance(look, UserError):
            continue
        name = path.relative_to(images).as_posix()
        stem = (
            f"{index:0{max(4, len(str(len(paths))))}d}_{re.sub(r'[^A-Za-z0-9-]+', '_', path.stem)}"
        )
        where = boxes(look.width, look.height, crops, f"{seed} {name}", least_width, keep_size)
        names.append(name)
        thumbnails.append(look.thumbnail)
        contents[name] = _content(name, path, stem, look, where, thresholds, keep_size)
    if not contents:
        raise UserError(f"{images}: no file in it can be read; {'; '.join(notes[:3])}")
    groups = alike(names, thumbnails)
    notes += [
        f"{' and '.join(group)} show the same picture: kept in one split"
        for group in groups
        if len(group) > 1
    ]
    files = [(path.relative_to(images).as_posix(), path.stat().st_size) for path in paths]
    options = {
        "command": "photos",
        "crops": crops,
        "least_width": least_width,
        "vmaf": list(thresholds),
        "inputs": hashlib.sha256(repr(files).encode()).hexdigest()[:16],
        "tools": h264.versions(),
    }
    return Dataset([[contents[name] for name in group] for group in groups], options, notes)


def boxes(
    width: int, height: int, count: int, key: str, least_width: int = WIDTH, even: bool = False
) -> list[Box]:
    """Where to cut frames of the models' shape out of a picture, in pixels.

    The first is the largest, in the middle. The others lie anywhere and have any width from the
    largest down to `least_width`, or to three quarters of the largest where that is less.

    Args:
        key: another key, other boxes.
        even: width and height are even, as video wants them.
    """
    largest = min(width, height * WIDTH / HEIGHT)
    least = min(least_width, largest * 3 / 4)
    choose = random.Random(key)
    found = []
    for index in range(count):
        across = largest if index == 0 else least * (largest / least) ** choose.random()
        wide, high = _rounded(across, even), _rounded(across * HEIGHT / WIDTH, even)
        free = width - wide, height - high
        at = (0.5, 0.5) if index == 0 else (choose.random(), choose.random())
        found.append((round(free[0] * at[0]), round(free[1] * at[1]), wide, high))
    return found


def _rounded(length: float, even: bool) -> int:
    return max(int(length) // 2 * 2, 2) if even else max(int(length), 1)


def _files(images: Path) -> list[Path]:
    if not images.is_dir():
        raise UserError(f"{images}: no such folder; pictures or videos were expected in it")
    # Folders that were made from pictures may lie among them, as after `--images . --out data/`.
    made = {path.parent for path in images.rglob(HIDDEN)}
    paths = [
        path
        for path in images.rglob("*")
        if path.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(images).parts)
        and not made.intersection(path.parents)
        and path.is_file()
    ]
    if not paths:
        raise UserError(f"{images}: no pictures or videos in it")
    return natsorted(sorted(paths), alg=ns.PATH | ns.IGNORECASE)


def _look(path: Path) -> Look | UserError:
    try:
        if path.suffix.lower() in SUFFIXES:
            rgb, numbers = read_rgb(path), []
        else:
            numbers = h264.first_of_each_second(h264.inspect(path).times)
            rgb = next(h264.frames(path, [0]))
    except UserError as error:
        return error
    return Look(rgb.shape[1], rgb.shape[0], numbers, thumbnail(rgb))


def _content(
    name: str,
    path: Path,
    stem: str,
    look: Look,
    where: list[Box],
    thresholds: Sequence[float],
    keep_size: bool,
) -> Content:
    frames = {
        f"{stem}_{number:05d}_{crop:03d}" if look.numbers else f"{stem}_{crop:03d}": (number, box)
        for number in look.numbers or [0]
        for crop, box in enumerate(where)
    }

    def make(names: list[str]) -> Iterator[Frame | UserError]:
        numbers = sorted({frames[frame][0] for frame in names})
        pictures = h264.frames(path, numbers) if look.numbers else [read_rgb(path)]
        for number, picture in zip(numbers, pictures):
            for frame in (frame for frame in names if frames[frame][0] == number):
                try:
                    yield _frame(
                        frame, picture, frames[frame][1], thresholds, keep_size, row(frame)
                    )
                except UserError as error:
                    yield UserError(f"{name}, {frame}: {error}")

    def row(frame: str) -> dict[str, str]:
        number, box = frames[frame]
        return {
            "source": name,
            "frame": str(number) if look.numbers else "",
            "crop": ",".join(map(str, box)),
        }

    return Content(name, list(frames), make)


def _frame(
    name: str,
    picture: np.ndarray,
    box: Box,
    thresholds: Sequence[float],
    keep_size: bool,
    row: dict[str, str],
) -> Frame:
    """Cut, find the levels and make the JND frames."""
    left, top, width, height = box
    cut = Image.fromarray(picture).crop((left, top, left + width, top + height))
    if not keep_size:
        cut = cut.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    source = np.asarray(cut)
    levels = find_levels(source, thresholds)
    row = {
        **row,
        "level_kind": f"{STAND_IN} (VMAF below {', '.join(f'{value:g}' for value in thresholds)})",
        "levels_from": "lowest QPs below; VMAF there "
        + "/".join(f"{level.vmaf:.2f}" for level in levels),
        "codec": QP,
        "encoder": h264.encoder(),
        "metric": h264.versions()["vmaf"],
    }
    for order, level in enumerate(levels, 1):
        row[f"jnd{order}"] = row[f"coded{order}"] = str(level.qp)
        row[f"jnd{order}_frame"] = f"frame encoded by x264 at QP {level.qp}"
    return Frame(name, [source, *(h264.decode(level.stream) for level in levels)], row)
