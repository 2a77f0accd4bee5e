"""MCL-JCI: pictures, and the JPEG quality factors at which its viewers saw a change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from common.codecs import jpeg
from common.codecs.codec import whole
from common.data.frames import list_images, read_rgb
from common.data.manifest import VIEWERS
from common.data.text import readable
from common.datasets.preparation import Content, Dataset, Frame, digest, level_columns, listed
from common.datasets.viewers import aggregate, counts, read_mcl_jci
from common.errors import UserError
from common.facts import QUALITY

IMAGE = re.compile(r"ImageJND_SRC(\d+)\.\w+", re.IGNORECASE)


def dataset(images: Path, samples: Path, statistic: str = "sur75") -> Dataset:
    """The pictures below `images` that have a row in the workbook, for `preparation.prepare`.

    A picture whose levels do not fall is left out: where few viewers saw a third change, their
    median can lie above all viewers' second.

    Args:
        statistic: one of `viewers.STATISTICS`.

    Raises:
        UserError: no picture, an unreadable workbook, or no picture with a row.
    """
    by_number = {}
    for path in list_images(images):
        match = IMAGE.fullmatch(path.name)
        if match:
            by_number[int(match[1])] = path
    rows = read_mcl_jci(samples)
    both = sorted(set(rows) & set(by_number))
    if not both:
        raise UserError(f"{images}: no picture (as in ImageJND_SRC01.bmp) with a row in {samples}")
    notes = [
        *listed(sorted(set(rows) - set(by_number)), "row(s) of samples without a picture"),
        *listed(sorted(set(by_number) - set(rows)), "picture(s) without a row of samples"),
    ]
    contents = []
    for number in both:
        path = by_number[number]
        levels = [aggregate(level, statistic, falling=True) for level in rows[number]]
        if not levels[0] >= levels[1] >= levels[2]:
            told = ", ".join(f"{level:g}" for level in levels)
            notes.append(f"{path.name}: {statistic} levels {told} do not fall; left out")
            continue
        told = f"viewers' {statistic}, {readable(samples.name)}, of {counts(rows[number])} samples"
        row = {"levels_from": told, "statistic": statistic, "source": readable(path.name)}
        contents.append(_content(f"ImageJND_SRC{number:02d}", path, levels, row))
    files = [(path.name, path.stat().st_size) for path in by_number.values()]
    options = {
        "command": "mcl-jci",
        "statistic": statistic,
        "inputs": digest((files, rows)),
        "tools": {"jpeg": jpeg.encoder()},
    }
    return Dataset([[content] for content in contents], options, notes)


def _content(name: str, path: Path, levels: list[float], row: dict[str, str]) -> Content:
    row = {
        **row,
        "level_kind": VIEWERS,
        "codec": QUALITY,
        "encoder": jpeg.encoder(),
        "metric": "none",
        **level_columns(levels, "source as JPEG of quality {}".format),
    }

    def make(names: list[str]) -> Iterator[Frame]:
        source = read_rgb(path)
        streams = [jpeg.encode(source, whole(level)) for level in levels]
        for frame in names:
            yield Frame(frame, [source, *map(jpeg.decode, streams)], row)

    return Content(name, [name], make)
