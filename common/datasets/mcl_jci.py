"""MCL-JCI: pictures, and the JPEG quality factors at which viewers noticed a change."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..base.constants import QUALITY
from ..base.errors import UserError
from ..data.listing import list_images
from ..data.pictures import read_rgb
from ..data.text import readable
from ..video import jpeg
from ..video.frame_codecs import round_half_up
from .contents import Content, Dataset, Frame, level_columns, list_numbers
from .viewers import aggregate, label_columns, read_mcl_jci

IMAGE = re.compile(r"ImageJND_SRC(\d+)\.\w+", re.IGNORECASE)


def collect(images: Path, samples: Path, statistic: str) -> Dataset:
    """Collect the pictures below `images` that have a row in the workbook, for `prepare`.

    Levels are a `statistic` of `viewers.aggregate`. A picture whose levels do not fall is left out:
    if only a few viewers noticed a third change, their median can exceed all viewers' second one.

    Raises:
        UserError: no picture, an unreadable workbook, or no picture with a row.
    """
    matches = {path: IMAGE.fullmatch(path.name) for path in list_images(images)}
    paths = {int(match[1]): path for path, match in matches.items() if match}
    rows = read_mcl_jci(samples)
    if not rows.keys() & paths:
        raise UserError(f"{images}: no picture (as in ImageJND_SRC01.bmp) with a row in {samples}")
    notes = list_numbers(rows.keys() - paths, "row(s) of samples without a picture")
    notes += list_numbers(paths.keys() - rows, "picture(s) without a row of samples")
    groups = []
    for number in sorted(rows.keys() & paths):
        levels = [aggregate(level, statistic, falling=True) for level in rows[number]]
        if levels != sorted(levels, reverse=True):
            shown = ", ".join(f"{level:g}" for level in levels)
            notes.append(f"{paths[number].name}: {statistic} levels {shown} do not fall; left out")
            continue
        columns = label_columns(rows[number], statistic, readable(samples.name))
        groups.append([_define(f"ImageJND_SRC{number:02d}", paths[number], levels, columns)])
    files = [(path.name, path.stat().st_size) for path in paths.values()]
    options: dict[str, Any] = {"command": "mcl-jci", "statistic": statistic}
    options |= {"inputs": (files, rows), "tools": {"jpeg": jpeg.encoder()}}
    return Dataset(groups=groups, options=options, notes=notes)


def _define(name: str, path: Path, levels: list[float], columns: dict[str, str]) -> Content:
    origin = "source as JPEG of quality {}".format
    row = {**columns, **level_columns(levels, QUALITY, jpeg.encoder(), origin)}
    row["source"] = readable(path.name)

    def make(names: Sequence[str]) -> Iterator[Frame]:
        source = read_rgb(path)
        streams = [jpeg.encode(source, round_half_up(level)) for level in levels]
        for frame in names:
            yield Frame(frame, [source, *map(jpeg.decode, streams)], row)

    return Content(name=name, frames=[name], make=make)
