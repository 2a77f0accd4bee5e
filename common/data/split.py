"""A split: its images, and all that is known of them, read once."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import LEVELS
from ..base.errors import UserError
from ..codec.bitstream import is_coded
from ..video.frame_codecs import CODECS, Codec
from .layout import LEVELS_FILE, image_name, read_split
from .manifest import MANIFEST, Provenance, codec_by_order, provenance, read_manifest
from .text import readable


class Split(NamedTuple):
    """The images of ROOT/test, or another split, in their order, and what is known of them."""

    root: Path
    images: list[Path]
    levels: np.ndarray | None  # float32 [images, 3]: JND1 to JND3; None where no file gives them
    provenance: Provenance | None  # what the levels are; None without a manifest
    rows: list[dict[str, str]]  # the manifest's row of each image; none without a manifest
    name: str = "test"

    @property
    def names(self) -> list[str]:
        """The images' paths below the split's folder, as text."""
        return [image_name(image, self.root / self.name) for image in self.images]

    @property
    def coded(self) -> bool:
        """Whether the images are coded pictures."""
        return is_coded(self.images[0])

    @property
    def contents(self) -> np.ndarray:
        """str [images]: what frames of one clip or picture share, else each image's own name."""
        return np.array([row["content"] for row in self.rows] or self.names)

    @property
    def codec_name(self) -> str:
        """What a level is, QP or QUALITY: as the manifest says or, without one, levels show."""
        return self.provenance.codec if self.provenance else codec_by_order(self.levels)

    @property
    def codec(self) -> Codec:
        """What the levels are coded with."""
        return CODECS[self.codec_name]

    @property
    def stand_in(self) -> str:
        """What the levels are where no viewer gave them; else empty."""
        return self.provenance.caption if self.provenance and self.provenance.objective else ""

    @property
    def caption(self) -> str:
        """What must be said wherever the levels appear."""
        given = f"no {MANIFEST} says who gave them, and each image counts as its own content"
        return (
            f"{len(self.images)} frames of {len(set(self.contents))} contents in "
            f"{readable(self.root / self.name)}. Levels ({self.codec_name}): "
            f"{self.provenance.caption if self.provenance else given}."
        )

    def true(self, level: str) -> np.ndarray:
        """The known levels [images] of "JND1", "JND2" or "JND3"."""
        return self.levels[:, LEVELS.index(level)]


def read_test_split(root: Path, levels_needed: bool, coded: bool = False) -> Split:
    """Read ROOT/test, where coded pictures may be if `coded`, and ROOT/manifest.csv if there.

    Raises:
        UserError: no images, no levels though they are needed, a damaged file, or an image that the
            manifest does not know.
    """
    return _read(root, "test", levels_needed, coded)


def read_train_split(root: Path) -> Split | None:
    """ROOT/train with its levels, in the same way; None where there are none.

    Raises:
        UserError: as `read_test_split`.
    """
    return _read(root, "train", True) if (root / "train" / LEVELS_FILE).is_file() else None


def _read(root: Path, name: str, levels_needed: bool, coded: bool = False) -> Split:
    images, levels = read_split(root, name, levels_needed, coded)
    split = Split(root, images, levels, provenance(root), [], name)
    if not split.provenance:
        return split
    by_file = {row["file"]: row for row in read_manifest(root)}
    for image in split.names:
        if f"{name}/{image}" not in by_file:
            raise UserError(
                f"{root / MANIFEST}: no row for {name}/{image}; take that image out of "
                f"{root / name}, or the manifest if it is of other images"
            )
    return split._replace(rows=[by_file[f"{name}/{image}"] for image in split.names])
