"""The records that a dataset root is made from: contents, their frames, and manifest columns."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import UserError
from ..video.frame_codecs import round_half_up


class Frame(NamedTuple):
    """A frame as made from its content: RGB images and its row of the manifest."""

    name: str  # of the files, without suffix
    images: Sequence[np.ndarray]  # source, JND1, JND2, JND3: uint8 [height, width, 3]
    row: dict[str, str]  # manifest columns other than `file`, `split` and `content`
    # Of the picture that was labelled (see `data.statistics`); None if the labels are viewers'.
    statistics: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Content:
    """A clip or picture; `make` yields the requested frames, or an error in place of one."""

    name: str
    frames: Sequence[str]
    augmented: Sequence[str] = ()  # augmented copies, made only in the dataset's `augmented_splits`
    make: Callable[[Sequence[str]], Iterator[Frame | UserError]]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The contents and options that a dataset root is made from."""

    groups: list[list[Content]]  # contents of one group show the same picture
    options: dict[str, Any]  # everything that the result depends on, as JSON except `inputs`
    notes: list[str]  # on inputs that were left out, one line each
    augmented_splits: Sequence[str] = ()


def level_columns(
    levels: Sequence[float], codec: str, encoder: str, describe: Callable[[int], str]
) -> dict[str, str]:
    """Make the manifest columns of three levels; `describe` names a JND frame's origin."""
    columns = {"codec": codec, "encoder": encoder}
    for order, level in enumerate(levels, 1):
        columns[f"jnd{order}"], columns[f"coded{order}"] = f"{level:g}", str(round_half_up(level))
        columns[f"jnd{order}_frame"] = describe(round_half_up(level))
    return columns


def list_numbers(numbers: Collection[int], what: str) -> list[str]:
    """Describe numbers and `clip(s)` as `["3 clips: 1-2, 7"]`; empty if there are no numbers."""
    groups = itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    runs = [[str(number) for _, number in group] for _, group in groups]
    ranges = ", ".join("-".join(dict.fromkeys((run[0], run[-1]))) for run in runs)
    what = what.replace("(s)", "" if len(numbers) == 1 else "s")
    return [f"{len(numbers)} {what}: {ranges}"] if numbers else []
