"""Anyone's pictures and videos, with levels that no viewer gave (see `objective`)."""

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
from ..models.labels import PROXY
from ..video import h264
from ..video.ffmpeg import binary
from ..video.frames import read_frames
from ..video.probe import Video, first_of_each_second, probe
from ..video.quality import metric, versions
from .objective import Level, find_levels_of_each
from .preparation import Content, Dataset, Frame, level_columns
from .splitting import alike, thumbnail
from .variation import varied

KINDS = {PICTURE, VIDEO}
LONGEST = 100  # characters of a file's name that its frames are named after

Box = tuple[int, int, int, int]  # left, top, width, height


class Cut(NamedTuple):
    """What a frame is made of."""

    number: int  # of the video's frame; 0 of a picture
    box: Box
    variation: str = ""  # the key of it, if it is varied


def dataset(
    images: Path,
    crops: int,
    least_width: int,
    thresholds: list[float],
    seed: int,
    keep_size: bool,
    vary: int,
    vary_splits: Sequence[str],
) -> Dataset:
    """All pictures and videos below `images`, but those that `prepare` made, for `prepare`.

    Of a video the first frame of each second is taken. Files that show the same picture form one
    group, so that they land in one split.

    Args:
        crops, least_width, seed: how many cut-outs of each picture, how wide they are at least, in
            pixels, and which they are (see `boxes`).
        thresholds: VMAF of JND1, JND2, JND3, falling.
        keep_size: cut-outs keep their size (made even) instead of becoming 640x352.
        vary, vary_splits: how many variations of each cut-out are beside it, and in which splits.

    Raises:
        UserError: there is no picture or video, or ffmpeg lacks x264 or VMAF.
    """
    binary("libx264")
    binary("libvmaf")
    paths, others = list_files(images, KINDS, "pictures or videos")
    names = [readable(path.relative_to(images)) for path in paths]
    coded = functools.partial(_coded, thresholds=thresholds, keep_size=keep_size)
    looks = parallel_map(lambda path: as_result(_look, path), paths, "looking")
    notes = [f"{images}: {describe_others(others, KINDS)}; left out"] if others else []
    notes += [f"{look}; left out" for look in looks if isinstance(look, UserError)]
    digits, contents, thumbnails = max(4, len(str(len(paths)))), [], []
    for index, (path, name, look) in enumerate(zip(paths, names, looks), 1):
        if isinstance(look, UserError):
            continue
        video, numbers, (height, width, _), tiny = look
        key = f"{seed} {path.relative_to(images)}"
        where = boxes(width, height, crops, key, least_width, even=keep_size)
        cuts = _cuts(f"{index:0{digits}d}_{_word(path.stem)}", numbers, where)
        contents.append(_content(video or path, name, cuts, _variations(cuts, key, vary), coded))
        thumbnails.append(tiny)
    groups = alike(contents, thumbnails)
    options = {"command": "photos", "crops": crops, "least_width": least_width, "vmaf": thresholds}
    if vary:  # else these are left out, so that folders begun before there were any can be gone on
        options |= {"vary": vary, "vary_splits": [*vary_splits]}
    options["inputs"] = [(name, path.stat().st_size) for name, path in zip(names, paths)]
    options["tools"] = versions()
    return Dataset(groups, options, notes + _shared(groups), vary_splits)


def boxes(
    width: int, height: int, count: int, key: str, least_width: int = WIDTH, even: bool = False
) -> list[Box]:
    """Where to cut frames of the models' shape out of a picture, in pixels.

    The first is the largest, in the middle. The others lie anywhere and have any width from the
    largest down to `least_width`, or to three quarters of the largest where that is less.

    Args:
        key: another key, other boxes.
        even: width and height are even, as video wants them.
    """
    largest = min(width, height * WIDTH / HEIGHT)
    least = min(least_width, largest * 3 / 4)
    step = 2 if even else 1
    # As bytes, since a file name in the key may be no text.
    choose = random.Random(os.fsencode(key))
    places = []
    for index in range(count):
        across = largest if index == 0 else least * (largest / least) ** choose.random()
        sides = across, across * HEIGHT / WIDTH
        wide, high = (max(int(side) // step * step, step) for side in sides)
        at = (0.5, 0.5) if index == 0 else (choose.random(), choose.random())
        places.append((round((width - wide) * at[0]), round((height - high) * at[1]), wide, high))
    return places


def _shared(groups: list[list[Content]]) -> list[str]:
    same = [" and ".join(content.name for content in group) for group in groups if len(group) > 1]
    return [f"{together} show the same picture: kept in one split" for together in same]


def _word(stem: str) -> str:
    """What of a file's name any file system takes."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", stem)[:LONGEST]


def _cuts(stem: str, numbers: list[int], where: list[Box]) -> dict[str, Cut]:
    """All boxes of a picture, or of each of a video's frames, by the name of what they become."""
    return {
        f"{stem}_{number:05d}_{crop:03d}" if numbers else f"{stem}_{crop:03d}": Cut(number, box)
        for number in numbers or [0]
        for crop, box in enumerate(where)
    }


def _variations(frames: dict[str, Cut], key: str, count: int) -> dict[str, Cut]:
    return {
        f"{frame}v{order}": cut._replace(variation=f"{key} {frame} {order}")
        for frame, cut in frames.items()
        for order in range(1, count + 1)
    }


def _look(path: Path) -> tuple[Video | None, list[int], tuple[int, ...], np.ndarray]:
    """Read a file: the video, if it is one; the frames to take from it; shape; and thumbnail."""
    if kind(path) == PICTURE:
        rgb = read_rgb(path)
        return None, [], rgb.shape, thumbnail(rgb)
    video = probe(path)
    if len({look[:2] for _, look in video.looks}) > 1:
        raise UserError(f"{path}: its frame size changes")
    rgb = next(read_frames(video, [0]))
    return video, first_of_each_second(video.times[:-1]), rgb.shape, thumbnail(rgb)


def _content(
    source: Video | Path,
    name: str,
    frames: dict[str, Cut],
    variations: dict[str, Cut],
    coded: Callable,
) -> Content:
    """A picture or video, and what becomes of it by the frames' names."""
    cuts = frames | variations

    def make(asked: list[str]) -> Iterator[Frame | UserError]:
        wanted = sorted({cuts[frame].number for frame in asked})
        pictures = read_frames(source, wanted) if isinstance(source, Video) else [read_rgb(source)]
        for number, picture in zip(wanted, pictures):
            origin = {"source": name, "frame": str(number) if isinstance(source, Video) else ""}
            here = [frame for frame in asked if cuts[frame].number == number]
            for frame, made in zip(here, coded(picture, [cuts[frame] for frame in here])):
                if isinstance(made, UserError):
                    yield UserError(f"{name}, {frame}: {made}")
                else:
                    images, row = made
                    yield Frame(frame, images, {**origin, **row})

    return Content(name, list(frames), make, list(variations))


def _coded(
    picture: np.ndarray, cuts: list[Cut], thresholds: list[float], keep_size: bool
) -> Iterator[tuple[list[np.ndarray], dict[str, str]] | UserError]:
    """Cut, vary, find the levels, make the JND frames; and what the manifest says of them.

    Frames of one size that follow each other are coded together.
    """
    sources = [_source(picture, cut, keep_size) for cut in cuts]
    for _, of_size in itertools.groupby(zip(cuts, sources), lambda each: each[1][0].shape):
        same = [*of_size]
        found = find_levels_of_each([source for _, (source, _) in same], thresholds)
        streams = [level.stream for levels in found if not isinstance(levels, UserError)
                   for level in levels]  # fmt: skip
        decoded = h264.frames(b"".join(streams), range(len(streams)))
        for (cut, (source, variation)), levels in zip(same, found):
            if isinstance(levels, UserError):
                yield levels
                continue
            jnd_frames = itertools.islice(decoded, len(levels))
            yield [source, *jnd_frames], _row(cut, variation, levels, thresholds)


def _source(picture: np.ndarray, cut: Cut, keep_size: bool) -> tuple[np.ndarray, str]:
    """The frame, and how it was varied."""
    left, top, width, height = cut.box
    frame, variation = Image.fromarray(picture).crop((left, top, left + width, top + height)), ""
    if not keep_size:
        frame = frame.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    if cut.variation:
        frame, variation = varied(frame, cut.variation)
    return np.asarray(frame), variation


def _row(cut: Cut, variation: str, levels: list[Level], thresholds: list[float]) -> dict[str, str]:
    limits = [f"{threshold:g}" for threshold in thresholds]
    scores = "/".join(f"{level.vmaf:.2f}" for level in levels)
    row = {
        "crop": ",".join(map(str, cut.box)),
        "variation": variation,
        "level_kind": PROXY,
        "levels_from": f"lowest QPs below; VMAF there {scores}",
        "thresholds": "/".join(limits),
        "scores": scores,
        "metric": metric(),
    }
    qps, origin = [level.qp for level in levels], "frame encoded by x264 at QP {}".format
    return row | level_columns(qps, QP, h264.encoder(), origin)
