"""The folder the models read: images, and the level at which viewers notice, image by image.

rootdir/
  train/  valid/  test/       images; JND-Levels.txt (in test/ it is optional)
  jnd1train/ .. jnd3valid/    the JND-quality version of each image, in the same order
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.data.frames import list_images
from common.errors import UserError

LEVELS_FILE = "JND-Levels.txt"


def read_levels(path: Path, images: list[Path]) -> np.ndarray:
    """The levels of `images`: float32 [images, 3], JND1 to JND3, each 0 to 100 (QP or quality).

    A line holds three numbers, separated by blanks, tabs, commas or semicolons. The n-th line
    belongs to the n-th image; where lines begin with a file name (relative to the folder of
    `path`), they belong to the image of that name, in any order. Empty lines do not count.

    Raises:
        UserError: a file that cannot be read, a line that is not three levels, or lines that do
            not match the images.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; it holds one line of three levels an image"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file") from None
    rows = [
        (number, *_row(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()
    ]
    named = [name for _, name, _ in rows if name]
    if named and len(named) < len(rows):
        number = next(number for number, name, _ in rows if not name)
        raise UserError(f"{path}, line {number}: no file name, but other lines begin with one")
    if len(rows) != len(images):
        raise UserError(
            f"{path}: {len(rows)} lines of levels for {len(images)} images in {path.parent}"
        )
    if not named:
        return np.array([levels for _, _, levels in rows], np.float32)
    by_name = {}
    for number, name, levels in rows:
        if name in by_name:
            raise UserError(f"{path}, line {number}: a second line for {name}")
        by_name[name] = levels
    names = [image.relative_to(path.parent).as_posix() for image in images]
    for name in names:
        if name not in by_name:
            raise UserError(f"{path}: no line for the image {name}")
    return np.array([by_name[name] for name in names], np.float32)


def _row(path: Path, number: int, line: str) -> tuple[str, list[float]]:
    """File name (empty where there is none) and levels of one line."""
    words = line.replace(",", " ").replace(";", " ").split()
    # A name may hold the separators themselves: it is what stands before the last three words.
    name = ""
    if len(words) > 3:
        name = line
        for word in reversed(words[-3:]):
            name = name[: name.rindex(word)]
        name = name.strip().rstrip(",;").strip().strip('"')
    try:
        levels = [float(word) for word in words[-3:]]
    except ValueError as error:
        wrong = str(error).rsplit(": ", 1)[1]
        raise UserError(
            f"{path}, line {number}: {wrong} is not a level; three numbers expected"
        ) from None
    if len(levels) < 3:
        raise UserError(f"{path}, line {number}: {len(levels)} levels; three expected")
    for level in levels:
        if not 0 <= level <= 100:  # NaN fails this too
            raise UserError(f"{path}, line {number}: level {level:g} is not within 0 to 100")
    return name, levels


def read_jnd_frames(root: Path, split: str, level: str, images: list[Path]) -> list[Path]:
    """The JND-quality frames of the `images` of rootdir/`split` at `level`, in their order.

    Raises:
        UserError: the folder is missing or empty, or does not hold a frame an image.
    """
    folder = Path(root) / f"{level.lower()}{split}"
    frames = list_images(folder)
    if len(frames) != len(images):
        raise UserError(
            f"{folder}: {len(frames)} JND frames for {len(images)} images in {Path(root) / split}"
        )
    return frames


def read_split(root: Path, split: str) -> tuple[list[Path], np.ndarray | None]:
    """Images of rootdir/`split` in their order, and their levels; None where no file gives them.

    Raises:
        UserError: as `list_images` and `read_levels`.
    """
    images = list_images(Path(root) / split)
    levels_file = Path(root) / split / LEVELS_FILE
    return images, read_levels(levels_file, images) if levels_file.exists() else None
