"""Splitting by content, so that no picture is in two splits."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.sparse.csgraph import connected_components

from ..base.constants import SPLITS
from ..base.errors import UserError
from ..data.text import read_text

THUMBNAIL = (16, 16)
# Correlation of thumbnails. Among 108 photographs, different ones reach at most 0.85; two pairs
# that are the same photograph, from two collections, reach 1.00.
SAME_PICTURE = 0.95


class Division(NamedTuple):
    """How contents are divided into splits."""

    shares: Sequence[float]  # of train, valid and test, with any sum
    seed: int  # of the random draw
    # Contents that go to test or valid with their groups; those in both, to test.
    test_contents: Sequence[str] = ()
    valid_contents: Sequence[str] = ()


def read_division(
    shares: Sequence[float],
    seed: int,
    test_contents: Path | None = None,
    valid_contents: Path | None = None,
) -> Division:
    """Read the names of contents from files that have one per line."""
    files = (test_contents, valid_contents)
    texts = (read_text(file, "names of contents, one per line") if file else "" for file in files)
    names = (sorted(filter(None, map(str.strip, text.splitlines()))) for text in texts)
    return Division(shares, seed, *names)


def split_contents(groups: list[list[str]], division: Division) -> dict[str, str]:
    """Choose the split of each content.

    Args:
        groups: names of contents; the contents of one group stay together.
        division: the splits with a share, and without named contents, divide the contents that are
            not named. Each gets at least one if there are enough.

    Raises:
        UserError: a named content is unknown.
    """
    shares, seed, *named = division
    groups = sorted(sorted(group) for group in groups)
    split: dict[str, str] = {}
    rest = groups
    for place, names in zip(("test", "valid"), map(set, named)):
        if unknown := names.difference(*groups):
            raise UserError(f"--{place}_contents: no content is named {', '.join(sorted(unknown))}")
        split |= {name: place for group in rest if names.intersection(group) for name in group}
        rest = [group for group in rest if not names.intersection(group)]
        if names:
            index = SPLITS.index(place)
            others = [*shares[:index], 0, *shares[index + 1 :]]
            shares = others if any(others) else [each == place for each in SPLITS]
    random.Random(seed).shuffle(rest)
    rest.sort(key=len, reverse=True)  # large groups are placed while there is room
    room = _apportion(sum(map(len, rest)), shares)
    for group in rest:
        roomiest = room.argmax()
        room[roomiest] -= len(group)
        split |= dict.fromkeys(group, SPLITS[roomiest])
    return split


def _apportion(total: int, shares: Sequence[float]) -> np.ndarray:
    """Split `total` into whole numbers in proportion to the shares."""
    exact = total * np.array(shares) / sum(shares)
    counts = exact.astype(int)
    by_remainder = np.argsort(counts - exact, kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    for index in np.flatnonzero(shares):
        if not counts[index] and counts.max() > 1:
            counts[counts.argmax()] -= 1
            counts[index] += 1
    return counts


def make_thumbnail(rgb: np.ndarray) -> np.ndarray:
    """Make a tiny copy's luma as a vector of mean 0 and length 1 (0 if it is flat): float [256]."""
    tiny = Image.fromarray(rgb).convert("L").resize(THUMBNAIL, Image.Resampling.BOX)
    luma = np.asarray(tiny, float).ravel()
    luma -= luma.mean()
    length = np.linalg.norm(luma)
    # Flat pictures differ only by noise; they count as different.
    return luma / length if length > len(luma) ** 0.5 else np.zeros_like(luma)


def group_same_pictures(contents: Sequence, thumbnails: Sequence[np.ndarray]) -> list[list]:
    """Group the contents that show the same picture; most groups have one member."""
    stacked = np.reshape(thumbnails, (-1, THUMBNAIL[0] * THUMBNAIL[1]))
    count, group_of = connected_components(stacked @ stacked.T > SAME_PICTURE, directed=False)
    groups: list[list] = [[] for _ in range(count)]
    for content, group in zip(contents, group_of):
        groups[group].append(content)
    return groups
