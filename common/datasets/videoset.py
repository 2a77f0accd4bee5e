"""VideoSet: clips as one H.264 stream a QP, and the QPs at which its viewers saw a change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.codecs import h264
from common.codecs.codec import whole
from common.data.manifest import VIEWERS
from common.datasets.preparation import Content, Dataset, Frame, listed
from common.datasets.viewers import Samples, aggregate, read_videoset
from common.errors import UserError
from common.facts import QP
from common.parallel import in_parallel

# Clip, size, frames a second, QP: videoSRC001_640x360_30_qp_23.264
STREAM = re.compile(r"videoSRC(\d+)_(\d+x\d+)_(\d+)_qp_(\d+)\.264", re.IGNORECASE)


class Clip(NamedTuple):
    """The streams of one clip at one size."""

    number: int
    framerate: int
    streams: dict[int, Path]  # by QP; 0 is the source


def dataset(
    videos: Path,
    labels: Path,
    size: str,
    label_size: str | None = None,
    statistic: str = "sur75",
    frames: Sequence[int] | None = None,
) -> Dataset:
    """The clips below `videos` that have labels in `labels`, for `preparation.prepare`.

    Args:
        size: of the streams, such as 640x360.
        label_size: of the labels, where they are to be those of another size.
        statistic: one of `viewers.STATISTICS`.
        frames: numbers of the frames to take; None takes the first of each second.

    Raises:
        UserError: no clip of that size, no labels, or no clip with labels.
    """
    label_size = label_size or size
    clips = _clips(Path(videos), size)
    samples, partly = read_videoset(labels, label_size)
    without_source = [number for number, clip in clips.items() if 0 not in clip.streams]
    usable = [clip for number, clip in clips.items() if number in samples and 0 in clip.streams]
    notes = [
        *listed(sorted(set(samples) - set(clips)), f"label row(s) without a {size} clip"),
        *listed(sorted(set(clips) - set(samples) - set(partly)), "clip(s) without a label row"),
        *listed(partly, "clip(s) with a label row in some files only"),
        *listed(without_source, "clip(s) without a source stream (qp_00)"),
    ]
    if not usable:
        raise UserError(f"{videos}: no {size} clip with labels ({'; '.join(notes)})")
    levels = {
        clip.number: [aggregate(level, statistic) for level in samples[clip.number]]
        for clip in usable
    }
    if any(whole(level) not in clip.streams for clip in usable for level in levels[clip.number]):
        h264.binary("libx264")
    told = f"viewers' {statistic}, videoset_{label_size}, of {{}} samples"
    contents, more = [], []
    looked = in_parallel(lambda clip: _frame_numbers(clip, size, frames), usable, "clips")
    for clip, numbers in zip(usable, looked):
        if isinstance(numbers, UserError):
            more.append(f"{numbers}; left out")
            continue
        made_from = told.format("/".join(str(len(level)) for level in samples[clip.number]))
        contents.append(_content(clip, numbers, levels[clip.number], made_from))
    streams = [path for clip in usable for path in clip.streams.values()]
    options = {
        "command": "videoset",
        "size": size,
        "label_size": label_size,
        "statistic": statistic,
        "frames": list(frames) if frames else "first of each second",
        "inputs": _digest(streams, samples),
        "tools": h264.versions(),
    }
    return Dataset([[content] for content in contents], options, notes + more)


def _clips(videos: Path, size: str) -> dict[int, Clip]:
    """Clips of a size by number."""
    if not videos.is_dir():
        raise UserError(f"{videos}: no such folder; VideoSet's streams were expected in it")
    clips: dict[int, Clip] = {}
    sizes = set()
    for path in sorted(videos.rglob("*.264")):
        match = STREAM.fullmatch(path.name)
        if match and path.is_file():
            number, framerate, qp = int(match[1]), int(match[3]), int(match[4])
            sizes.add(match[2])
            if match[2] == size:
                clips.setdefault(number, Clip(number, framerate, {})).streams[qp] = path
    if not clips:
        there = f"there are {', '.join(sorted(sizes))}" if sizes else "there are no streams at all"
        raise UserError(
            f"{videos}: no streams of {size} (as in videoSRC001_{size}_30_qp_23.264); {there}"
        )
    return dict(sorted(clips.items()))


def _frame_numbers(clip: Clip, size: str, frames: Sequence[int] | None) -> list[int] | UserError:
    """Which frames to take of a clip, or why it cannot be used."""
    source = clip.streams[0]
    try:
        width, height, times = h264.inspect(source, clip.framerate)
    except UserError as error:
        return error
    if f"{width}x{height}" != size:
        return UserError(f"{source}: holds {width}x{height} pictures, not {size}")
    if frames and max(frames) >= len(times):
        return UserError(f"{source}: has {len(times)} frames; frame {max(frames)} was asked for")
    return sorted(frames) if frames else list(range(0, len(times), clip.framerate))


def _content(clip: Clip, numbers: list[int], levels: list[float], levels_from: str) -> Content:
    name = f"videoSRC{clip.number:03d}"
    by_name = {f"{name}_{number:04d}": number for number in numbers}
    source = clip.streams[0]
    coded = [whole(level) for level in levels]
    missing = any(qp not in clip.streams for qp in coded)
    row = {
        "source": source.name,
        "levels_from": levels_from,
        "level_kind": VIEWERS,
        "codec": QP,
        "encoder": h264.encoder() if missing else "the dataset's",
        "metric": "none",
    }
    for order, (level, qp) in enumerate(zip(levels, coded), 1):
        row[f"jnd{order}"], row[f"coded{order}"] = f"{level:g}", str(qp)
        row[f"jnd{order}_frame"] = (
            clip.streams[qp].name if qp in clip.streams else f"source encoded by x264 at QP {qp}"
        )

    def make(names: list[str]) -> Iterator[Frame]:
        wanted = [by_name[name] for name in names]
        streams = [
            clip.streams.get(qp) or h264.reencode(source, qp, clip.framerate) for qp in (0, *coded)
        ]
        pictures = zip(*(h264.frames(stream, wanted) for stream in streams))
        for name, images in zip(names, pictures):
            yield Frame(name, images, {**row, "frame": str(by_name[name])})

    return Content(name, list(by_name), make)


def _digest(streams: list[Path], samples: dict[int, Samples]) -> str:
    """A short hash of what goes in, so that a changed dataset is not taken for the same."""
    files = [(path.name, path.stat().st_size) for path in streams]
    return hashlib.sha256(repr((files, samples)).encode()).hexdigest()[:16]
