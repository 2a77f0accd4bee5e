"""Anyone's pictures and videos, with levels that no viewer gave (see `objective`)."""

from __future__ import annotations

import functools
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.codecs import h264
from common.codecs.ffmpeg import binary
from common.data.frames import SUFFIXES, list_files, read_rgb
from common.data.manifest import STAND_IN
from common.data.text import readable
from common.datasets.objective import THRESHOLDS, find_levels
from common.datasets.preparation import Content, Dataset, Frame, digest, level_columns
from common.datasets.splitting import alike, thumbnail
from common.errors import UserError
from common.facts import HEIGHT, QP, WIDTH
from common.parallel import in_parallel

VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".264", ".h264", ".y4m"}

LONGEST = 100  # characters of a file's name that its frames are named after

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
        crops, least_width, seed: how many cut-outs of each picture, how wide they are at least, in
            pixels, and which they are (see `boxes`).
        thresholds: VMAF of JND1, JND2, JND3, falling.
        keep_size: cut-outs keep their size (made even) instead of becoming 640x352.

    Raises:
        UserError: there is no picture or video, or ffmpeg lacks x264 or VMAF.
    """
    binary("libx264")
    binary("libvmaf")
    paths = list_files(images, SUFFIXES | VIDEO_SUFFIXES, "pictures or videos")
    names = [readable(path.relative_to(images)) for path in paths]
    looks = in_parallel(_look, paths, "looking")
    notes = [f"{look}; left out" for look in looks if isinstance(look, UserError)]
    cut = functools.partial(boxes, count=crops, least_width=least_width, even=keep_size)
    make = functools.partial(_frame, thresholds=thresholds, keep_size=keep_size)
    digits, contents, thumbnails = max(4, len(str(len(paths)))), [], []
    for index, (path, name, look) in enumerate(zip(paths, names, looks), 1):
        if isinstance(look, Look):
            where = cut(look.width, look.height, key=f"{seed} {path.relative_to(images)}")
            stem = f"{index:0{digits}d}_{_word(path.stem)}"
            contents.append(_content(name, path, stem, look.numbers, where, make))
            thumbnails.append(look.thumbnail)
    groups = alike(contents, thumbnails)
    for group in (group for group in groups if len(group) > 1):
        same = " and ".join(content.name for content in group)
        notes.append(f"{same} show the same picture: kept in one split")
    options = {
        "command": "photos",
        "crops": crops,
        "least_width": least_width,
        "vmaf": list(thresholds),
        "inputs": digest([(name, path.stat().st_size) for name, path in zip(names, paths)]),
        "tools": h264.versions(),
    }
    return Dataset(groups, options, notes)


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
    # As bytes, since a file name in the key may be no text.
    choose = random.Random(os.fsencode(key))
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


def _word(stem: str) -> str:
    """What of a file's name any file system takes."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", stem)[:LONGEST]


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
    numbers: list[int],
    where: list[Box],
    make_frame: Callable[[str, np.ndarray, Box, dict[str, str]], Frame],
) -> Content:
    frames = {
        f"{stem}_{number:05d}_{crop:03d}" if numbers else f"{stem}_{crop:03d}": (number, box)
        for number in numbers or [0]
        for crop, box in enumerate(where)
    }

    def make(asked: list[str]) -> Iterator[Frame | UserError]:
        wanted = sorted({frames[frame][0] for frame in asked})
        pictures = h264.frames(path, wanted) if numbers else [read_rgb(path)]
        for number, picture in zip(wanted, pictures):
            told = {"source": name, "frame": str(number) if numbers else ""}
            for frame in (frame for frame in asked if frames[frame][0] == number):
                try:
                    yield make_frame(frame, picture, frames[frame][1], told)
                except UserError as error:
                    yield UserError(f"{name}, {frame}: {error}")

    return Content(name, list(frames), make)


def _frame(
    name: str,
    picture: np.ndarray,
    box: Box,
    told: dict[str, str],
    thresholds: Sequence[float],
    keep_size: bool,
) -> Frame:
    """Cut, find the levels and make the JND frames."""
    left, top, width, height = box
    cut = Image.fromarray(picture).crop((left, top, left + width, top + height))
    if not keep_size:
        cut = cut.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    source = np.asarray(cut)
    levels = find_levels(source, thresholds)
    limits = [f"{threshold:g}" for threshold in thresholds]
    scores = "/".join(f"{level.vmaf:.2f}" for level in levels)
    row = {
        **told,
        "crop": ",".join(map(str, box)),
        "level_kind": f"{STAND_IN} (VMAF below {', '.join(limits)})",
        "levels_from": f"lowest QPs below; VMAF there {scores}",
        "thresholds": "/".join(limits),
        "scores": scores,
        "codec": QP,
        "encoder": h264.encoder(),
        "metric": h264.metric(),
        **level_columns([level.qp for level in levels], "frame encoded by x264 at QP {}".format),
    }
    return Frame(name, [source, *(h264.decode(level.stream) for level in levels)], row)
