"""The folder the models read: images, and the level at which viewers notice, image by image.

ROOT/
  train/  valid/  test/       images; JND-Levels.txt (in test/ it is optional)
  jnd1train/ .. jnd3valid/    the JND-quality version of each image, in the same order
"""

import re
import sys
from pathlib import Path

import numpy as np

from ..base.constants import SCALES
from ..base.errors import UserError
from ..codec.bitstream import SUFFIX
from .kinds import BITSTREAM, PICTURE
from .listing import describe_others, list_images, sort_files
from .manifest import codec_by_order
from .text import read_text, readable

LEVELS_FILE = "JND-Levels.txt"
_NUMBER = re.compile(r"[-+]?(nan|inf|(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)", re.IGNORECASE)


def read_levels(path: Path, images: list[Path]) -> np.ndarray:
    """The levels of `images`: float32 [images, 3], JND1 to JND3.

    A line holds three numbers, separated by blanks, tabs, commas or semicolons. The n-th line
    belongs to the n-th image; where lines begin with a file name (relative to the folder of
    `path`), they belong to the image of that name, in any order. Empty lines do not count.

    Raises:
        UserError: a file that cannot be read, a line that is not three levels, lines that do not
            match the images, or levels that neither QPs nor quality factors can be: most lines'
            order tells which they are.
    """
    lines = enumerate(read_text(path, "a line of three levels per image").splitlines(), 1)
    places = [(f"{path}, line {number}", line) for number, line in lines if line.strip()]
    rows = [(where, *_row(where, line)) for where, line in places]
    unnamed = [where for where, name, _ in rows if not name]
    if 0 < len(unnamed) < len(rows):
        raise UserError(f"{unnamed[0]}: no file name, but other lines begin with one")
    if len(rows) != len(images):
        message = f"{len(rows)} lines of levels for {len(images)} images in {path.parent}"
        raise _count_error(f"{path}: {message}", path.parent)
    levels = np.array([of_line for _, _, of_line in rows])
    codec = codec_by_order(levels)
    least, most = min(SCALES[codec]), max(SCALES[codec])
    for row, column in np.argwhere(~((levels >= least) & (levels <= most))):  # so is NaN
        raise UserError(
            f"{rows[row][0]}: level {levels[row, column]:g} is not within {codec} {least} to {most}"
            " (levels that rise are QPs, those that fall JPEG quality)"
        )
    if unnamed:
        return levels.astype(np.float32)
    by_name = {}
    for (where, name, _), of_line in zip(rows, levels):
        if name in by_name:
            raise UserError(f"{where}: a second line for {name}")
        by_name[name] = of_line
    names = [image_name(image, path.parent) for image in images]
    for name in names:
        if name not in by_name:
            other = min(set(by_name) - set(names))
            raise UserError(f"{path}: no line for the image {name}, but one for {other!r}")
    return np.array([by_name[name] for name in names], np.float32)


def _row(where: str, line: str) -> tuple[str, list[float]]:
    """File name (empty where there is none) and levels of one line."""
    words = line.replace(",", " ").replace(";", " ").split()
    if len(words) != 3 and all(map(_NUMBER.fullmatch, words)):
        raise UserError(f"{where}: {len(words)} levels; three expected, with a point for decimals")
    for word in words[-3:]:
        if not _NUMBER.fullmatch(word):
            raise UserError(f"{where}: {word!r} is not a level; three numbers expected")
    # A name may hold the separators themselves: it is what stands before the last three words.
    name = line if len(words) > 3 else ""
    for word in reversed(words[-3:]):
        name = name[: name.rfind(word)]
    return name.strip().rstrip(",;").strip().strip('"'), [float(word) for word in words[-3:]]


def describe_left_out(folder: Path) -> str:
    """Describe the files in a folder besides images and their levels; empty if there are none."""
    others = sort_files(folder, {PICTURE, BITSTREAM}).others
    others = [path for path in others if path.name != LEVELS_FILE]
    return f"left out: {describe_others(others, {PICTURE})}" if others else ""


def _count_error(message: str, *folders: Path) -> UserError:
    """Make the error for numbers of files that do not match, naming the skipped files."""
    left_out = next(filter(None, map(describe_left_out, folders)), "")
    return UserError("; ".join(filter(None, (message, left_out))))


def image_name(image: Path, folder: Path) -> str:
    """What an image below `folder` is called: its path, a coded one's without the added suffix."""
    return readable(image.relative_to(folder)).removesuffix(SUFFIX)


def read_jnd_frames(root: Path, split: str, level: str, images: list[Path]) -> list[Path]:
    """The JND-quality frames of the `images` of ROOT/`split` at `level`, in their order.

    Raises:
        UserError: the folder is missing or empty, or does not hold a frame per image.
    """
    folder = root / f"{level.lower()}{split}"
    frames = list_images(folder)
    if len(frames) != len(images):
        message = f"{len(frames)} JND frames for {len(images)} images in {root / split}"
        raise _count_error(f"{folder}: {message}", folder, root / split)
    return frames


def read_split(
    root: Path, split: str, levels_needed: bool = False, coded: bool = False
) -> tuple[list[Path], np.ndarray | None]:
    """Read the images of ROOT/`split` in order, and their levels, or None if there is no such file.

    If `coded`, bitstream files are accepted as well, under the names of the pictures they were
    made from. Other files in the folder are reported on stderr.

    Raises:
        UserError: as `list_images` and `read_levels`; no such file where `levels_needed`.
    """
    images, path = list_images(root / split, coded), root / split / LEVELS_FILE
    if left_out := describe_left_out(root / split):
        print(f"{root / split}: {left_out}", file=sys.stderr)
    return images, read_levels(path, images) if levels_needed or path.exists() else None
