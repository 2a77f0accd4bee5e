"""The user's own pictures and videos, with proxy labels (see `proxy_labels`)."""

import functools
import itertools
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..base.constants import HEIGHT, QP, WIDTH
from ..base.errors import UserError, as_result
from ..base.parallel import parallel_map
from ..data.kinds import PICTURE, VIDEO, kind
from ..data.listing import describe_others, list_files
from ..data.pictures import read_rgb
from ..data.text import readable
from ..models.labels import PROXY, Labels
from ..video import h264
from ..video.ffmpeg import binary
from ..video.frames import read_frames
from ..video.probe import Video, first_of_each_second, probe
from ..video.quality import metric, versions
from .augmentation import augment
from .contents import Content, Dataset, Frame, level_columns
from .proxy_labels import Level, find_levels_of_each
from .splitting import group_same_pictures, make_thumbnail

KINDS = {PICTURE, VIDEO}
LONGEST = 100  # characters of a file's name that are used in its frames' names

Box = tuple[int, int, int, int]  # left, top, width, height


class Crop(NamedTuple):
    """The part of a picture or video that a frame is made from."""

    number: int  # of the video's frame; 0 for a picture
    box: Box
    key: str = ""  # for `augment`; empty if the crop is not augmented


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
    crops: int,
    least_width: int,
    thresholds: list[float],
    seed: int,
    keep_size: bool,
    vary: int,
    vary_splits: Sequence[str],
) -> Dataset:
    """Collect all pictures and videos below `images`, except what `prepare` made, for `prepare`.

    The first frame of each second of a video is taken. Files that show the same picture form one
    group, so that they go to the same split.

    Args:
        crops, least_width, seed: for `choose_boxes`.
        thresholds: VMAF of JND1, JND2, JND3, falling.
        keep_size: whether crops keep their size (made even) instead of becoming 640x352.
        vary, vary_splits: the number of augmented copies of each crop in these splits.

    Raises:
        UserError: there is no picture or video, or ffmpeg lacks x264 or VMAF.
    """
    binary("libx264")
    binary("libvmaf")
    sources, notes = _examine_all(images)
    encode = functools.partial(_encode, thresholds=thresholds, keep_size=keep_size)
    contents, digits = [], max(4, len(str(len(sources))))
    for index, source in enumerate(sources, 1):
        if source.shape:
            key = f"{seed} {source.path.relative_to(images)}"
            height, width, _ = source.shape
            boxes = choose_boxes(width, height, crops, key, least_width, even=keep_size)
            word = re.sub(r"[^A-Za-z0-9-]+", "_", source.path.stem)[:LONGEST]
            frames = _name_frames(f"{index:0{digits}d}_{word}", source, boxes)
            contents.append(_define(source, frames, _name_copies(frames, key, vary), encode))
    thumbnails = [each.thumbnail for each in sources if each.thumbnail is not None]
    groups = group_same_pictures(contents, thumbnails)
    same = (" and ".join(content.name for content in group) for group in groups if len(group) > 1)
    notes += [f"{together} show the same picture: kept in one split" for together in same]
    options = {"command": "photos", "crops": crops, "least_width": least_width, "vmaf": thresholds}
    if vary:  # otherwise absent, so that roots begun before these options existed can be continued
        options |= {"vary": vary, "vary_splits": [*vary_splits]}
    options["inputs"] = [(source.name, source.path.stat().st_size) for source in sources]
    options["tools"] = versions()
    return Dataset(groups=groups, options=options, notes=notes, augmented_splits=vary_splits)


def _name_frames(stem: str, source: _Source, boxes: list[Box]) -> dict[str, Crop]:
    """Name the crops of a picture, or of each of a video's frames."""
    return {
        f"{stem}_{number:05d}_{n:03d}" if source.video else f"{stem}_{n:03d}": Crop(number, box)
        for number in source.numbers
        for n, box in enumerate(boxes)
    }


def _name_copies(frames: dict[str, Crop], key: str, count: int) -> dict[str, Crop]:
    """Name the augmented copies of frames."""
    return {
        f"{frame}v{copy}": crop._replace(key=f"{key} {frame} {copy}")
        for frame, crop in frames.items()
        for copy in range(1, count + 1)
    }


def choose_boxes(
    width: int, height: int, count: int, key: str, least_width: int = WIDTH, even: bool = False
) -> list[Box]:
    """Choose crops of the models' aspect ratio in a picture of `width` x `height` pixels.

    The first is the largest, in the centre. The others have a random position and a random width
    from `least_width`, or 3/4 of the largest if that is smaller, up to the largest.

    Args:
        key: seeds the choice.
        even: whether to make width and height even, as video requires.
    """
    largest = min(width, height * WIDTH / HEIGHT)
    least = min(least_width, largest * 3 / 4)
    step = 2 if even else 1
    # As bytes, since a file name in the key may not be valid text.
    choose = random.Random(os.fsencode(key))
    boxes = []
    for index in range(count):
        across = largest if index == 0 else least * (largest / least) ** choose.random()
        sides = across, across * HEIGHT / WIDTH
        wide, high = (max(int(side) // step * step, step) for side in sides)
        at = (0.5, 0.5) if index == 0 else (choose.random(), choose.random())
        boxes.append((round((width - wide) * at[0]), round((height - high) * at[1]), wide, high))
    return boxes


def _examine_all(images: Path) -> tuple[list[_Source], list[str]]:
    """Examine all pictures and videos below `images`; also return notes on those left out."""
    paths, others = list_files(images, KINDS, "pictures or videos")
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
                    images, row = made
                    yield Frame(frame, images, {**origin, **row})

    return Content(name=name, frames=list(frames), augmented=list(copies), make=make)


def _encode(
    picture: np.ndarray, crops: list[Crop], thresholds: list[float], keep_size: bool
) -> Iterator[tuple[list[np.ndarray], dict[str, str]] | UserError]:
    """Crop, augment, and find the levels; yield the images and the manifest columns of each crop.

    Consecutive crops of one size are encoded together.
    """
    sources = [_crop(picture, crop, keep_size) for crop in crops]
    for _, of_size in itertools.groupby(zip(crops, sources), lambda each: each[1][0].shape):
        same = [*of_size]
        found = find_levels_of_each([source for _, (source, _) in same], thresholds)
        streams = [
            level.stream
            for levels in found
            if not isinstance(levels, UserError)
            for level in levels
        ]
        decoded = h264.frames(b"".join(streams), range(len(streams)))
        for (crop, (source, changes)), levels in zip(same, found):
            if isinstance(levels, UserError):
                yield levels
                continue
            jnd_frames = itertools.islice(decoded, len(levels))
            yield [source, *jnd_frames], _make_row(crop, changes, levels, thresholds)


def _crop(picture: np.ndarray, crop: Crop, keep_size: bool) -> tuple[np.ndarray, str]:
    """Crop, resize and augment a picture; return the frame and how it was augmented."""
    left, top, width, height = crop.box
    frame, changes = Image.fromarray(picture).crop((left, top, left + width, top + height)), ""
    if not keep_size:
        frame = frame.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    if crop.key:
        frame, changes = augment(frame, crop.key)
    return np.asarray(frame), changes


def _make_row(
    crop: Crop, changes: str, levels: list[Level], thresholds: list[float]
) -> dict[str, str]:
    scores = "/".join(f"{level.vmaf:.2f}" for level in levels)
    row = {
        "crop": ",".join(map(str, crop.box)),
        "variation": changes,
        **Labels(codec=QP, kind=PROXY, thresholds=tuple(thresholds)).to_fields(),
        "levels_from": f"lowest QPs below; VMAF there {scores}",
        "scores": scores,
        "metric": metric(),
    }
    qps, origin = [level.qp for level in levels], "frame encoded by x264 at QP {}".format
    return row | level_columns(qps, QP, h264.encoder(), origin)
