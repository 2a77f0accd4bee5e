"""What predictions are measured against: the test split, its true levels, and its viewers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.codecs.codec import CODECS, Codec
from common.data.layout import LEVELS_FILE, read_levels, read_split
from common.data.manifest import MANIFEST, codec_by_order, provenance, read_manifest
from common.datasets.viewers import Samples, label_sizes, read_mcl_jci, read_videoset
from common.errors import UserError
from common.facts import QP, QUALITY

# Clip or picture number: videoSRC001 and ImageJND_SRC01 are contents of prepared folders.
NUMBER = re.compile(r"SRC(\d+)", re.IGNORECASE)
# As common.prepare writes it into the manifest.
VIEWERS_STATISTIC = re.compile(r"viewers' (\w+), (?:videoset_(\d+x\d+))?")


# Predicted levels [images] by model title and level, in the order of the paper's tables.
Predictions = dict[tuple[str, str], np.ndarray]


class Truth(NamedTuple):
    """The images of ROOT/test and what is known of them."""

    root: Path
    images: list[Path]
    levels: np.ndarray
    """float32 [images, 3]: JND1 to JND3."""
    contents: np.ndarray
    """str [images]: frames of one clip or picture share it."""
    codec_name: str
    """QP or QUALITY of `common.data.manifest`."""
    caption: str
    """What must be said wherever the levels appear."""
    levels_from: str
    """How the manifest says that the levels were made; empty without one."""
    stand_in: str
    """What the levels are where no viewer gave them; else empty."""

    @property
    def codec(self) -> Codec:
        """What the levels are coded with."""
        return CODECS[self.codec_name]

    @property
    def names(self) -> list[str]:
        """The images' paths below ROOT/test."""
        return [image.relative_to(self.root / "test").as_posix() for image in self.images]


def read_truth(root: Path) -> Truth:
    """Read ROOT/test and, where there is one, ROOT/manifest.csv.

    Without a manifest each image is its own content, and the levels' order tells their codec.

    Raises:
        UserError: no images, no levels, or a damaged file.
    """
    images, levels = read_split(root, "test")
    if levels is None:
        read_levels(root / "test" / LEVELS_FILE, images)  # says that it is missing
    about = provenance(root)
    rows = {row["file"]: row for row in read_manifest(root)} if about else {}
    files = [image.relative_to(root).as_posix() for image in images]
    for file in files if about else ():
        if file not in rows:
            raise UserError(f"{root / MANIFEST}: no row for {file}")
    contents = np.array([rows[file]["content"] if about else file for file in files])
    codec_name = about.codec if about else codec_by_order(levels)
    if codec_name not in CODECS:
        raise UserError(f"{root / MANIFEST}: levels in {codec_name}; {QP} or {QUALITY} expected")
    counted = f"{len(images)} frames of {len(set(contents))} contents in {root / 'test'}"
    given = (
        about.caption
        if about
        else f"no {MANIFEST} says who gave them, and each image counts as its own content"
    )
    return Truth(
        root,
        images,
        levels,
        contents,
        codec_name,
        f"{counted}. Levels ({codec_name}): {given}.",
        rows[files[0]]["levels_from"] if about else "",
        about.caption if about and about.objective else "",
    )


def read_samples(labels: Path, truth: Truth) -> tuple[list[Samples], str]:
    """What each viewer answered, a content of `truth` each, and the labels' statistic.

    Args:
        labels: folder of VideoSet's label files, or MCL-JCI's workbook.

    Raises:
        UserError: they cannot be read, or are not those of the contents in ROOT/test.
    """
    told = VIEWERS_STATISTIC.match(truth.levels_from)
    statistic, size = told.groups() if told else ("sur75", None)
    if labels.is_dir() != (truth.codec_name == QP):
        wanted = "VideoSet's folder of label files" if truth.codec_name == QP else "a workbook"
        raise UserError(f"{labels}: {truth.root} has levels in {truth.codec_name}: {wanted} is due")
    if truth.codec_name == QUALITY:
        samples = read_mcl_jci(labels)
    else:
        sizes = label_sizes(labels)
        if not size and len(sizes) > 1:
            raise UserError(f"{labels}: labels of {', '.join(sizes)}, and no manifest says which")
        samples, _ = read_videoset(labels, size or "".join(sizes) or "SIZE")
    numbers = {int(found[1]) for found in map(NUMBER.search, truth.contents) if found}
    chosen = [samples[number] for number in sorted(numbers & set(samples))]
    if not chosen:
        raise UserError(f"{labels}: no viewer's answers to any content in {truth.root / 'test'}")
    return chosen, statistic
