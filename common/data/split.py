"""The splits of a dataset root: their images, levels and JND frames.

ROOT/
  train/  valid/  test/       images; JND-Levels.txt (optional in test/)
  jnd1train/ .. jnd3valid/    the JND-quality version of each image, in the same order
  manifest.csv                optional (see `manifest`)
"""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..base.constants import COARSEST_QP, LEVELS, QP, QUALITY, SCALES
from ..base.errors import UserError
from ..codec.bitstream import SUFFIX, is_bitstream
from ..models.labels import Labels
from ..video.frame_codecs import CODECS, Codec
from .kinds import BITSTREAM, PICTURE
from .listing import LEVELS_FILE, describe_others, list_images, sort_files
from .manifest import MANIFEST, read_labels, read_manifest
from .text import read_text, readable

_log = logging.getLogger(__name__)

_NUMBER = re.compile(r"[-+]?(nan|inf|(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Split:
    """The images of a split, in order, with their levels and manifest rows."""

    root: Path
    name: str = "test"
    images: list[Path]
    levels: np.ndarray | None = None  # float32 [images, 3]: JND1 to JND3; None if there are none
    labels: Labels | None = None  # the kind of the levels; None without a manifest
    rows: list[dict[str, str]]  # the manifest's row of each image; none without a manifest

    @property
    def names(self) -> list[str]:
        """The images' paths below the split's folder, as text."""
        return [name_image(image, self.root / self.name) for image in self.images]

    def first(self, count: int | None) -> "Split":
        """Return a split with only the first `count` images (None: all)."""
        levels = None if self.levels is None else self.levels[:count]
        return replace(self, images=self.images[:count], levels=levels, rows=self.rows[:count])

    @property
    def coded(self) -> bool:
        """Whether the images are bitstream files."""
        return is_bitstream(self.images[0])

    @property
    def contents(self) -> np.ndarray:
        """The clip or picture that each frame comes from, or else its own name: str [images]."""
        return np.array([row["content"] for row in self.rows] or self.names)

    @property
    def codec_name(self) -> str:
        """QP or QUALITY, as stated in the manifest or else inferred from the levels."""
        return self.labels.codec if self.labels else infer_codec(self.known_levels)

    @property
    def codec(self) -> Codec:
        """The codec that the levels belong to."""
        return CODECS[self.codec_name]

    def check_codec(self, codec: str, weights: Path) -> None:
        """Check that the levels that a model predicts are of this split's codec.

        Args:
            codec: that of the model's levels; empty if its weight file does not record it.

        Raises:
            UserError: this split's levels are known to be of another codec.
        """
        known = self.labels is not None or self.levels is not None
        if codec and known and codec != self.codec_name:
            has = f"has levels in {self.codec_name}"
            raise UserError(f"{self.root}: {has}, but {weights} predicts levels in {codec}")

    @property
    def proxy_labels(self) -> str:
        """A description of the labels if they are not viewers' judgements; else empty."""
        return self.labels.describe() if self.labels and self.labels.is_proxy else ""

    @property
    def caption(self) -> str:
        """The origin of the levels, which every table and plot of them must state."""
        unknown = f"origin unknown (no {MANIFEST}); each image counts as its own content"
        return (
            f"{len(self.images)} frames of {len(set(self.contents))} contents in "
            f"{readable(self.root / self.name)}. Levels ({self.codec_name}): "
            f"{self.labels.describe() if self.labels else unknown}."
        )

    @property
    def known_levels(self) -> np.ndarray:
        """The levels, float32 [images, 3].

        Raises:
            UserError: there are none.
        """
        if self.levels is None:
            raise UserError(f"{self.root / self.name}: no {LEVELS_FILE} in it")
        return self.levels

    def true(self, level: str) -> np.ndarray:
        """The known levels [images] of "JND1", "JND2" or "JND3"; raises as `known_levels`."""
        return self.known_levels[:, LEVELS.index(level)]


def read_split(
    root: Path,
    name: str,
    *,
    levels_needed: bool = False,
    coded: bool = False,
    with_manifest: bool = True,
) -> Split:
    """Read ROOT/`name`, and report other files in the folder on stderr.

    Args:
        levels_needed: whether a missing file of levels is an error.
        coded: whether to accept bitstream files as well, named like the pictures they were made
            from.
        with_manifest: whether to read ROOT/manifest.csv too, if there is one.

    Raises:
        UserError: no images, wrong or missing levels, a damaged file, or an image without a row in
            the manifest.
    """
    folder = root / name
    images = list_images(folder, coded)
    if left_out := describe_left_out(folder):
        _log.warning("%s: %s", folder, left_out)
    path = folder / LEVELS_FILE
    levels = read_levels(path, images) if levels_needed or path.exists() else None
    labels = read_labels(root) if with_manifest else None
    rows = []
    if labels:
        by_file = {row["file"]: row for row in read_manifest(root)}
        files = [f"{name}/{name_image(image, folder)}" for image in images]
        if missing := [file for file in files if file not in by_file]:
            raise UserError(
                f"{root / MANIFEST}: no row for {missing[0]}; remove that image from {folder}, or "
                "the manifest if it belongs to other images"
            )
        rows = [by_file[file] for file in files]
    return Split(root=root, name=name, images=images, levels=levels, labels=labels, rows=rows)


def read_train_split(root: Path) -> Split | None:
    """Read ROOT/train if there is a file of levels in it; raises as `read_split`."""
    return read_split(root, "train") if (root / "train" / LEVELS_FILE).is_file() else None


def read_jnd_frames(root: Path, split: str, level: str, images: list[Path]) -> list[Path]:
    """List the JND frames at `level` of the `images` of ROOT/`split`, in their order.

    Raises:
        UserError: the folder is missing or empty, or does not hold a frame per image.
    """
    folder = root / f"{level.lower()}{split}"
    frames = list_images(folder)
    if len(frames) != len(images):
        message = f"{len(frames)} JND frames for {len(images)} images in {root / split}"
        raise _count_error(f"{folder}: {message}", folder, root / split)
    return frames


def name_image(image: Path, folder: Path) -> str:
    """Make the name of an image: its path below `folder`, without a bitstream file's suffix."""
    return readable(image.relative_to(folder)).removesuffix(SUFFIX)


def infer_codec(levels: np.ndarray) -> str:
    """Infer from levels [images, 3] whether they are QPs, which rise, or JPEG quality factors."""
    with np.errstate(all="ignore"):  # infinite and NaN levels are rejected by `read_levels`
        step = np.median(np.diff(levels))
    return QUALITY if step < 0 or (step == 0 and np.max(levels, initial=0) > COARSEST_QP) else QP


def describe_left_out(folder: Path) -> str:
    """Describe the files in a folder besides images and their levels; empty if there are none."""
    others = describe_others(sort_files(folder, {PICTURE, BITSTREAM}).others, {PICTURE})
    return f"left out: {others}" if others else ""


def _count_error(message: str, *folders: Path) -> UserError:
    """Make the error for mismatched numbers of files, mentioning skipped files."""
    left_out = next(filter(None, map(describe_left_out, folders)), "")
    return UserError("; ".join(filter(None, (message, left_out))))


def read_levels(path: Path, images: list[Path]) -> np.ndarray:
    """Read the levels of `images`: float32 [images, 3], JND1 to JND3.

    A line holds three numbers, separated by spaces, tabs, commas or semicolons. The n-th line
    belongs to the n-th image; if lines begin with a file name (relative to the folder of `path`),
    they belong to the image of that name, in any order. Empty lines are ignored.

    Raises:
        UserError: the file cannot be read, a line is not three levels, the lines do not match the
            images, or a level is out of the range of the codec that `infer_codec` finds.
    """
    lines = enumerate(read_text(path, "a line of three levels per image").splitlines(), 1)
    rows = [_parse_line(f"{path}, line {n}", line) for n, line in lines if line.strip()]
    unnamed = [where for where, name, _ in rows if not name]
    if 0 < len(unnamed) < len(rows):
        raise UserError(f"{unnamed[0]}: no file name, but other lines begin with one")
    if len(rows) != len(images):
        message = f"{len(rows)} lines of levels for {len(images)} images in {path.parent}"
        raise _count_error(f"{path}: {message}", path.parent)
    levels = np.array([of_line for _, _, of_line in rows])
    codec = infer_codec(levels)
    least, most = min(SCALES[codec]), max(SCALES[codec])
    for row, column in np.argwhere(~((levels >= least) & (levels <= most))):  # also NaN
        raise UserError(
            f"{rows[row][0]}: level {levels[row, column]:g} is not within {codec} {least} to {most}"
            " (levels that rise are QPs, those that fall JPEG quality)"
        )
    if unnamed:
        return levels.astype(np.float32)
    by_name: dict[str, np.ndarray] = {}
    for (where, name, _), of_line in zip(rows, levels):
        if name in by_name:
            raise UserError(f"{where}: a second line for {name}")
        by_name[name] = of_line
    names = [name_image(image, path.parent) for image in images]
    if missing := [name for name in names if name not in by_name]:
        other = min(set(by_name) - set(names))
        raise UserError(f"{path}: no line for the image {missing[0]}, but one for {other!r}")
    return np.array([by_name[name] for name in names], np.float32)


def _parse_line(where: str, line: str) -> tuple[str, str, list[float]]:
    """Split a line into `where`, its file name (empty if it has none) and its levels."""
    words = line.replace(",", " ").replace(";", " ").split()
    if len(words) != 3 and all(map(_NUMBER.fullmatch, words)):
        raise UserError(f"{where}: {len(words)} levels; three expected, with a point for decimals")
    for word in words[-3:]:
        if not _NUMBER.fullmatch(word):
            raise UserError(f"{where}: {word!r} is not a level; three numbers expected")
    # A name may contain separators: it is everything before the last three words.
    name = line if len(words) > 3 else ""
    for word in reversed(words[-3:]):
        name = name[: name.rfind(word)]
    name = name.strip().rstrip(",;").strip().strip('"')
    return where, name, [float(word) for word in words[-3:]]
