"""What each viewer answered, and what that says of the labels: no error can be below their own."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...base.constants import QP, QUALITY
from ...base.errors import UserError
from ...data.manifest import MANIFEST
from ...data.split import Split
from ...datasets.viewers import (
    Samples,
    aggregate,
    aggregates,
    label_sizes,
    read_mcl_jci,
    read_videoset,
)

# Clip or picture number: videoSRC001 and ImageJND_SRC01 are contents of prepared folders.
NUMBER = re.compile(r"SRC(\d+)", re.IGNORECASE)


class Viewers(NamedTuple):
    """The viewers of a test split's contents."""

    samples: list[Samples]
    """One per content."""
    statistic: str
    """What makes a label of them."""


def read_viewers(labels: Path, split: Split) -> Viewers:
    """The viewers' answers to the contents of `split`.

    Args:
        labels: folder of VideoSet's label files, or MCL-JCI's workbook.

    Raises:
        UserError: they cannot be read, or are not those of the contents in ROOT/test.
    """
    if labels.is_dir() != (split.codec_name == QP):
        wanted = "VideoSet's folder of label files" if split.codec_name == QP else "a workbook"
        raise UserError(f"{labels}: {split.root} has levels in {split.codec_name}: {wanted} is due")
    if split.codec_name == QUALITY:
        samples = read_mcl_jci(labels)
    else:
        size, sizes = _told(split, "label_size"), label_sizes(labels)
        if not size and len(sizes) > 1:
            raise UserError(f"{labels}: labels of {', '.join(sizes)}, and no manifest says which")
        samples, _ = read_videoset(labels, size or "".join(sizes) or "SIZE")
    numbers = {int(match[1]) for match in map(NUMBER.search, split.contents) if match}
    chosen = [samples[number] for number in sorted(numbers & set(samples))]
    if not chosen:
        raise UserError(f"{labels}: no viewer's answers to any content in {split.root / 'test'}")
    return Viewers(chosen, _told(split, "statistic") or "sur75")


def _told(split: Split, column: str) -> str:
    """What the manifest says in `column` of every image; empty where it says nothing."""
    sources = sorted({row[column] for row in split.rows})
    if len(sources) > 1:
        raise UserError(
            f"{split.root / MANIFEST}: --labels needs one {column} for all images in test/, "
            f"not {' and '.join(map(repr, sources))}"
        )
    return "".join(sources)


def label_floor(
    samples: Sequence[Sequence[int]],
    statistic: str = "sur75",
    falling: bool = False,
    resamples: int = 1000,
) -> float:
    """How far the labels themselves move when the viewers are resampled.

    The mean, over contents and resamples, of the absolute difference between the label of as many
    viewers drawn with replacement and the label of the viewers there were.

    Args:
        samples: for each content, one level per viewer.
        statistic, falling: what makes a label of them, as for `common.datasets.viewers.aggregate`.
    """
    random = np.random.default_rng(0)
    moved = []
    for answers in samples:
        drawn = random.choice(answers, (resamples, len(answers)))
        label = aggregate(list(answers), statistic, falling)
        moved.append(np.abs(aggregates(drawn, statistic, falling) - label).mean())
    return float(np.mean(moved))
