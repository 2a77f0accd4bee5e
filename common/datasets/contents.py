"""What a dataset root is made from: contents, their frames, and the manifest's columns of them."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import UserError
from ..video.frame_codecs import round_half_up


class Frame(NamedTuple):
    """A frame as made from its content: RGB images and what the manifest says of it."""

    name: str  # of its files, without suffix
    images: Sequence[np.ndarray]  # source, JND1, JND2, JND3: uint8 [height, width, 3]
    row: dict[str, str]  # manifest columns other than `file`, `split` and `content`


@dataclass(frozen=True, kw_only=True)
class Content:
    """A clip or picture. `make` yields the frames asked for, or why one cannot be made."""

    name: str
    frames: Sequence[str]
    augmented: Sequence[str] = ()  # augmented copies, made only in the dataset's `augmented_splits`
    make: Callable[[Sequence[str]], Iterator[Frame | UserError]]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a root is to be made from."""

    groups: list[list[Content]]  # contents that show the same thing, and belong in one split
    options: dict[str, Any]  # all that the result depends on: `inputs` anything, else JSON
    notes: list[str]  # what was left out, a line each
    augmented_splits: Sequence[str] = ()


def level_columns(
    levels: Sequence[float], codec: str, encoder: str, describe: Callable[[int], str]
) -> dict[str, str]:
    """Make the manifest columns of three levels; `describe` says how a JND frame was made."""
    columns = {"codec": codec, "encoder": encoder}
    for order, level in enumerate(levels, 1):
        columns[f"jnd{order}"], columns[f"coded{order}"] = f"{level:g}", str(round_half_up(level))
        columns[f"jnd{order}_frame"] = describe(round_half_up(level))
    return columns


def list_numbers(numbers: Collection[int], what: str) -> list[str]:
    """Make `["3 clips: 1-2, 7"]` of the numbers and `clip(s)`; empty if there are no numbers."""
    groups = itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    runs = [[str(number) for _, number in group] for _, group in groups]
    ranges = ", ".join("-".join(dict.fromkeys((run[0], run[-1]))) for run in runs)
    what = what.replace("(s)", "" if len(numbers) == 1 else "s")
    return [f"{len(numbers)} {what}: {ranges}"] if numbers else []
