"""The answers of individual viewers, and the uncertainty of labels derived from them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...base.constants import QP
from ...base.errors import UserError
from ...data.manifest import MANIFEST
from ...data.split import Split
from ...datasets.viewers import (
    Samples,
    aggregate,
    aggregate_rows,
    find_label_sizes,
    read_mcl_jci,
    read_videoset,
)

# Clip or picture number: videoSRC001 and ImageJND_SRC01 are contents of prepared folders.
NUMBER = re.compile(r"SRC(\d+)", re.IGNORECASE)


class Viewers(NamedTuple):
    """The viewers' answers to a test split's contents."""

    samples: list[Samples]  # one per content
    statistic: str  # which derives the labels from them


def read_viewers(labels: Path, split: Split) -> Viewers:
    """Read the viewers' answers to the contents of `split`.

    Args:
        labels: folder of VideoSet's label files, or MCL-JCI's workbook.

    Raises:
        UserError: they cannot be read, or are not those of the contents in ROOT/test.
    """
    videoset = split.codec_name == QP
    if labels.is_dir() != videoset:
        expected = "VideoSet's folder of label files" if videoset else "MCL-JCI's workbook"
        levels = f"{split.root} has levels in {split.codec_name}"
        raise UserError(f"{labels}: expected {expected}, since {levels}")
    if videoset:
        size, sizes = _single_value(split, "label_size"), find_label_sizes(labels)
        if not size and len(sizes) > 1:
            raise UserError(f"{labels}: labels of {', '.join(sizes)}, and no manifest says which")
        samples, _ = read_videoset(labels, size or "".join(sizes) or "SIZE")
    else:
        samples = read_mcl_jci(labels)
    numbers = {int(match[1]) for match in map(NUMBER.search, split.contents) if match}
    chosen = [samples[number] for number in sorted(numbers & set(samples))]
    if not chosen:
        raise UserError(f"{labels}: no viewer's answers to any content in {split.root / 'test'}")
    return Viewers(chosen, _single_value(split, "statistic") or "sur75")


def _single_value(split: Split, column: str) -> str:
    """Read the manifest's only value in `column`; empty if there is none."""
    values = sorted({row[column] for row in split.rows})
    if len(values) > 1:
        raise UserError(
            f"{split.root / MANIFEST}: --labels needs one {column} for all images in test/, "
            f"not {' and '.join(map(repr, values))}"
        )
    return "".join(values)


def label_floor(
    samples: Sequence[Sequence[int]],
    statistic: str = "sur75",
    falling: bool = False,
    resamples: int = 1000,
) -> float:
    """Compute how far the labels move when the viewers are resampled.

    This is the mean, over contents and resamples, of the absolute difference between the label from
    the actual viewers and the label from as many viewers drawn with replacement.

    Args:
        samples: for each content, one level per viewer.
        statistic, falling: as for `datasets.viewers.aggregate`.
    """
    random = np.random.default_rng(0)
    moves = []
    for answers in samples:
        drawn = random.choice(answers, (resamples, len(answers)))
        label = aggregate(list(answers), statistic, falling)
        moves.append(np.abs(aggregate_rows(drawn, statistic, falling) - label).mean())
    return float(np.mean(moves))
