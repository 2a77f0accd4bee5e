"""VideoSet: clips as one H.264 stream a QP, and the QPs at which its viewers saw a change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.codecs import h264
from common.codecs.codec import whole
from common.data.frames import list_files
from common.data.manifest import VIEWERS
from common.datasets.preparation import Content, Dataset, Frame, digest, level_columns, listed
from common.datasets.viewers import Samples, aggregate, counts, read_videoset
from common.errors import UserError
from common.facts import QP
from common.parallel import in_parallel

# Clip, size, frames a second, QP: videoSRC001_640x360_30_qp_23.264
STREAM = re.compile(r"videoSRC(\d+)_(\d+x\d+)_([1-9]\d*)_qp_(\d+)\.264", re.IGNORECASE)


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
    notes = _unmatched(clips, set(samples), partly, size)
    usable = [clip for number, clip in clips.items() if number in samples and 0 in clip.streams]
    if not usable:
        raise UserError(f"{videos}: no {size} clip with labels ({'; '.join(notes)})")
    contents = []
    looked = in_parallel(lambda clip: _frame_numbers(clip, size, frames), usable, "clips")
    for clip, numbers in zip(usable, looked):
        if isinstance(numbers, UserError):
            notes.append(f"{numbers}; left out")
        else:
            answers = samples[clip.number]
            contents.append(_content(clip, numbers, answers, statistic, label_size))
    streams = [path for clip in usable for path in clip.streams.values()]
    files = [(path.name, path.stat().st_size) for path in streams]
    options = {
        "command": "videoset",
        "size": size,
        "label_size": label_size,
        "statistic": statistic,
        "frames": list(frames) if frames else "first of each second",
        "inputs": digest((files, samples)),
        "tools": h264.versions(),
    }
    return Dataset([[content] for content in contents], options, notes)


def _clips(videos: Path, size: str) -> dict[int, Clip]:
    """Clips of a size by number."""
    clips: dict[int, Clip] = {}
    sizes = set()
    for path in sorted(list_files(videos, {".264"}, "VideoSet streams")):
        match = STREAM.fullmatch(path.name)
        if match:
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


def _unmatched(
    clips: dict[int, Clip], labelled: set[int], partly: list[int], size: str
) -> list[str]:
    """What of clips and labels has no counterpart, a line each."""
    without_source = [number for number, clip in clips.items() if 0 not in clip.streams]
    return [
        *listed(sorted(labelled - set(clips)), f"label row(s) without a {size} clip"),
        *listed(sorted(set(clips) - labelled - set(partly)), "clip(s) without a label row"),
        *listed(partly, "clip(s) with a label row in some files only"),
        *listed(without_source, "clip(s) without a source stream (qp_00)"),
    ]


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


def _content(
    clip: Clip, numbers: list[int], samples: Samples, statistic: str, label_size: str
) -> Content:
    name = f"videoSRC{clip.number:03d}"
    by_name = {f"{name}_{number:04d}": number for number in numbers}
    source = clip.streams[0]
    levels = [aggregate(level, statistic) for level in samples]
    coded = [whole(level) for level in levels]

    def made(qp: int) -> str:
        return clip.streams[qp].name if qp in clip.streams else f"source encoded by x264 at QP {qp}"

    row = {
        "source": source.name,
        "level_kind": VIEWERS,
        "levels_from": f"viewers' {statistic}, videoset_{label_size}, of {counts(samples)} samples",
        "statistic": statistic,
        "label_size": label_size,
        "codec": QP,
        "encoder": h264.encoder() if set(coded) - set(clip.streams) else "the dataset's",
        "metric": "none",
        **level_columns(levels, made),
    }

    def make(names: list[str]) -> Iterator[Frame]:
        wanted = [by_name[name] for name in names]
        streams = [
            clip.streams.get(qp) or h264.reencode(source, qp, clip.framerate) for qp in (0, *coded)
        ]
        pictures = zip(*(h264.frames(stream, wanted) for stream in streams))
        for name, images in zip(names, pictures):
            yield Frame(name, images, {**row, "frame": str(by_name[name])})

    return Content(name, list(by_name), make)
