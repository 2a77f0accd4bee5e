"""The user's own pictures and videos, with proxy labels (see `proxy_labels`)."""

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.constants import QP
from ..base.errors import UserError, as_result
from ..base.parallel import parallel_map
from ..data.kinds import PICTURE, VIDEO, kind
from ..data.listing import describe_others, list_files
from ..data.pictures import read_rgb
from ..data.statistics import measure_statistics
from ..data.text import readable
from ..video.frames import read_frames
from ..video.probe import Video, first_of_each_second, probe
from .contents import Content, Dataset, Frame
from .crops import (
    Crop,
    Framing,
    choose_crops,
    crop_picture,
    cut_labelled_part,
    find_labelled_part,
    locate,
)
from .labelling import Labelling
from .splitting import group_same_pictures, make_thumbnail

KINDS = {PICTURE, VIDEO}
LONGEST = 100  # characters of a file's name that are used in its frames' names


class _Source(NamedTuple):
    """A picture, or a video and the frames to take from it."""

    path: Path
    name: str  # relative to the folder of all files
    shape: tuple[int, ...] = ()  # height, width, channels; empty if it cannot be read
    thumbnail: np.ndarray | None = None
    video: Video | None = None
    numbers: Sequence[int] = (0,)


def collect(
    images: Path,
    *,
    framing: Framing,
    labelling: Labelling,
    seed: int,
    vary: int,
    vary_splits: Sequence[str],
) -> Dataset:
    """Collect all pictures and videos below `images`, except what `prepare` made, for `prepare`.

    The first frame of each second of a video is taken. Files that show the same picture form one
    group, so that they go to the same split.

    Args:
        framing, seed: for `choose_crops`.
        vary, vary_splits: the number of augmented copies of each crop in these splits.

    Raises:
        UserError: there is no picture or video, or ffmpeg lacks x264 or VMAF.
    """
    labelling.check_tools()
    sources, notes = _examine_all(images)
    encode = functools.partial(_encode, framing=framing, labelling=labelling)
    contents, digits = [], max(4, len(str(len(sources))))
    for index, source in enumerate(sources, 1):
        if source.shape:
            key = f"{seed} {source.path.relative_to(images)}"
            parts = choose_crops(source.shape[1], source.shape[0], framing, key)
            word = re.sub(r"[^A-Za-z0-9-]+", "_", source.path.stem)[:LONGEST]
            frames = _name_frames(f"{index:0{digits}d}_{word}", source, parts)
            contents.append(_define(source, frames, _name_copies(frames, key, vary), encode))
    thumbnails = [each.thumbnail for each in sources if each.thumbnail is not None]
    groups = group_same_pictures(contents, thumbnails)
    same = (" and ".join(content.name for content in group) for group in groups if len(group) > 1)
    notes += [f"{together} show the same picture: kept in one split" for together in same]
    options = _list_options(framing, labelling, vary, vary_splits)
    options["inputs"] = [(source.name, source.path.stat().st_size) for source in sources]
    options["tools"] = labelling.list_tools()
    return Dataset(groups=groups, options=options, notes=notes, augmented_splits=vary_splits)


def _list_options(
    framing: Framing,
    labelling: Labelling,
    vary: int,
    vary_splits: Sequence[str],
) -> dict[str, Any]:
    """List the options that the frames depend on, besides the size of images.

    Some are absent if not used, so that roots begun before they existed can be continued.
    """
    options = {"command": "photos", "crops": framing.frames, "least_width": framing.least_width}
    options["vmaf"] = labelling.thresholds
    if labelling.codec != QP:
        options |= {"codec": labelling.codec}
    if framing.widths:
        options |= {"labels_of": "whole", "widths": [*framing.widths]}
        options |= {"whole_qp": labelling.whole}
    if vary:
        options |= {"vary": vary, "vary_splits": [*vary_splits]}
    return options


def _name_frames(stem: str, source: _Source, parts: list[Crop]) -> dict[str, Crop]:
    """Name the parts of a picture, or of each of a video's frames."""
    return {
        f"{stem}_{number:05d}_{n:03d}" if source.video else f"{stem}_{n:03d}": part._replace(
            number=number
        )
        for number in source.numbers
        for n, part in enumerate(parts)
    }


def _name_copies(frames: dict[str, Crop], key: str, count: int) -> dict[str, Crop]:
    """Name the augmented copies of frames that show all that is labelled."""
    return {
        f"{frame}v{copy}": crop._replace(key=f"{key} {frame} {copy}")
        for frame, crop in frames.items()
        if crop.view is None
        for copy in range(1, count + 1)
    }


def _examine_all(images: Path) -> tuple[list[_Source], list[str]]:
    """Examine all pictures and videos below `images`; also return notes on those left out."""
    paths, others, _ = list_files(images, KINDS, "pictures or videos")
    notes = [f"{images}: {describe_others(others, KINDS)}; left out"] if others else []
    sources = [_Source(path, readable(path.relative_to(images))) for path in paths]
    examined = parallel_map(lambda source: as_result(_examine, source), sources, "files")
    notes += [f"{error}; left out" for error in examined if isinstance(error, UserError)]
    pairs = zip(sources, examined)
    return [old if isinstance(new, UserError) else new for old, new in pairs], notes


def _examine(source: _Source) -> _Source:
    """Read a file's shape and thumbnail and, if it is a video, choose the frames to take."""
    path = source.path
    if kind(path) == PICTURE:
        rgb = read_rgb(path)
        return source._replace(shape=rgb.shape, thumbnail=make_thumbnail(rgb))
    video = probe(path)
    if len({(each.width, each.height) for _, each in video.formats}) > 1:
        raise UserError(f"{path}: its frame size changes")
    rgb = next(read_frames(video, [0]))
    numbers = first_of_each_second(video.times[:-1])
    thumbnail = make_thumbnail(rgb)
    return source._replace(shape=rgb.shape, thumbnail=thumbnail, video=video, numbers=numbers)


def _define(
    source: _Source, frames: dict[str, Crop], copies: dict[str, Crop], encode: Callable
) -> Content:
    """Define the content of a picture or video, given its crops by frame name."""
    crops, path, name, video = frames | copies, source.path, source.name, source.video

    def make(asked: Sequence[str]) -> Iterator[Frame | UserError]:
        wanted = sorted({crops[frame].number for frame in asked})
        pictures = read_frames(video, wanted) if video else [read_rgb(path)]
        for number, picture in zip(wanted, pictures):
            origin = {"source": name, "frame": str(number) if video else ""}
            here = [frame for frame in asked if crops[frame].number == number]
            for frame, made in zip(here, encode(picture, [crops[frame] for frame in here])):
                if isinstance(made, UserError):
                    yield UserError(f"{name}, {frame}: {made}")
                else:
                    yield made._replace(name=frame, row={**origin, **made.row})

    return Content(name=name, frames=list(frames), augmented=list(copies), make=make)


def _encode(
    picture: np.ndarray,
    crops: list[Crop],
    framing: Framing,
    labelling: Labelling,
) -> Iterator[Frame | UserError]:
    """Make the frame of each crop, still without name and origin, or an error in place of one.

    Crops that are views of the same labelled part follow one another, and are labelled once.
    Consecutive parts of one size are encoded together.
    """
    views = {part: [*same] for part, same in itertools.groupby(crops, find_labelled_part)}
    parts = [(part, *cut_labelled_part(picture, part, framing.keep_size)) for part in views]
    for _, of_size in itertools.groupby(parts, lambda each: each[1].shape):
        same = [*of_size]
        found = labelling.find([frame for _, frame, _ in same])
        for (part, frame, changes), labelled in zip(same, found):
            if isinstance(labelled, UserError):
                yield from [labelled] * len(views[part])
                continue
            levels, jnd_frames = labelled
            images = [frame, *jnd_frames]
            row = _make_row(part, frame.shape, changes) | labelling.describe(levels)
            statistics = as_result(measure_statistics, frame, labelling.codec)
            if isinstance(statistics, UserError):
                yield from [statistics] * len(views[part])
                continue
            for crop in views[part]:
                shown = [crop_picture(image, crop.view) for image in images]
                row["crop"] = ",".join(map(str, locate(crop, frame.shape)))
                yield Frame("", shown, {**row}, statistics)


def _make_row(part: Crop, shape: tuple[int, ...], changes: str) -> dict[str, str]:
    """Make the manifest columns of a labelled part, except `crop` and those of its levels."""
    return {"variation": changes, "label_size": f"{shape[1]}x{shape[0]}" if part.width else ""}
