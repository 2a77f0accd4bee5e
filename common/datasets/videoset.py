"""VideoSet: clips as one H.264 stream per QP, and the QPs at which viewers noticed a change."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..base.constants import QP
from ..base.errors import UserError, as_result
from ..base.parallel import parallel_map
from ..data.kinds import VIDEO
from ..data.listing import list_files
from ..video import h264
from ..video.frame_codecs import round_half_up
from ..video.probe import probe
from ..video.quality import versions
from .contents import Content, Dataset, Frame, level_columns, list_numbers
from .viewers import Samples, aggregate, label_columns, read_videoset

# Clip, size, frames per second, QP: videoSRC001_640x360_30_qp_23.264
STREAM = re.compile(r"videoSRC(\d+)_(\d+x\d+)_([1-9]\d*)_qp_(\d+)\.264", re.IGNORECASE)


class Clip(NamedTuple):
    """The streams of one clip at one size."""

    number: int
    framerate: int
    streams: dict[int, Path]  # by QP; 0 is the source


def collect(
    videos: Path,
    labels: Path,
    *,
    size: str,
    label_size: str | None,
    statistic: str,
    frames: list[int] | None,
) -> Dataset:
    """Collect the clips below `videos` that have labels in `labels`, for `preparation.prepare`.

    Args:
        size: frame size of the streams, such as 640x360.
        label_size: frame size of the labels, if it differs from `size`.
        statistic: as in `viewers.aggregate`.
        frames: numbers of the frames to take; None: the first of each second.

    Raises:
        UserError: no clip of that size, no labels, or no clip with labels.
    """
    label_size = label_size or size
    clips = _find_clips(videos, size)
    samples, partly = read_videoset(labels, label_size)
    sourceless = [number for number, clip in clips.items() if 0 not in clip.streams]
    notes = list_numbers(samples.keys() - clips, f"label row(s) without a {size} clip")
    notes += list_numbers(clips.keys() - samples - set(partly), "clip(s) without a label row")
    notes += list_numbers(partly, "clip(s) with a label row in some files only")
    notes += list_numbers(sourceless, "clip(s) without a source stream (qp_00)")
    usable = [clip for number, clip in clips.items() if number in samples and 0 in clip.streams]
    if not usable:
        raise UserError(f"{videos}: no {size} clip with labels ({'; '.join(notes)})")
    numbers_of = parallel_map(
        lambda clip: as_result(_choose_frames, clip, size, frames), usable, "clips"
    )
    notes += [f"{numbers}; left out" for numbers in numbers_of if isinstance(numbers, UserError)]
    groups = [
        [_define(clip, numbers, samples[clip.number], statistic, label_size)]
        for clip, numbers in zip(usable, numbers_of)
        if not isinstance(numbers, UserError)
    ]
    files = [(path.name, path.stat().st_size) for clip in usable for path in clip.streams.values()]
    options: dict[str, Any] = {"command": "videoset", "size": size, "label_size": label_size}
    options |= {"statistic": statistic, "frames": frames or "first of each second"}
    options |= {"inputs": (files, samples), "tools": versions()}
    return Dataset(groups=groups, options=options, notes=notes)


def _find_clips(videos: Path, size: str) -> dict[int, Clip]:
    """Find the clips of a size, by number."""
    clips: dict[int, Clip] = {}
    sizes = set()
    for path in sorted(list_files(videos, {VIDEO}, "VideoSet streams").files):
        if match := STREAM.fullmatch(path.name):
            number, framerate, qp = int(match[1]), int(match[3]), int(match[4])
            sizes.add(match[2])
            if match[2] == size:
                clips.setdefault(number, Clip(number, framerate, {})).streams[qp] = path
    if not clips:
        there = f"there are {', '.join(sorted(sizes))}" if sizes else "there are no streams at all"
        named = f"as in videoSRC001_{size}_30_qp_23.264"
        raise UserError(f"{videos}: no streams of {size} ({named}); {there}")
    return dict(sorted(clips.items()))


def _choose_frames(clip: Clip, size: str, frames: list[int] | None) -> list[int]:
    """Choose the numbers of the frames to take from a clip."""
    source = clip.streams[0]
    video = probe(source, clip.framerate)
    found = f"{video.format.width}x{video.format.height}"
    if found != size:
        raise UserError(f"{source}: has {found} frames, not {size}")
    if frames and max(frames) >= video.frames:
        raise UserError(f"{source}: has {video.frames} frames; frame {max(frames)} was asked for")
    return sorted(frames) if frames else list(range(0, video.frames, clip.framerate))


def _define(
    clip: Clip, numbers: list[int], samples: Samples, statistic: str, label_size: str
) -> Content:
    name = f"videoSRC{clip.number:03d}"
    by_name = {f"{name}_{number:04d}": number for number in numbers}
    source = clip.streams[0]
    levels = [aggregate(level, statistic) for level in samples]
    qps = [round_half_up(level) for level in levels]
    origins = {qp: f"source encoded by x264 at QP {qp}" for qp in qps}
    origins |= {qp: path.name for qp, path in clip.streams.items()}
    encoder = "the dataset's" if set(qps) <= clip.streams.keys() else h264.encoder()
    row = label_columns(samples, statistic, f"videoset_{label_size}")
    row |= level_columns(levels, QP, encoder, origins.__getitem__)
    row |= {"source": source.name, "label_size": label_size}

    def make(names: Sequence[str]) -> Iterator[Frame]:
        wanted = [by_name[name] for name in names]
        streams = [
            clip.streams.get(qp) or h264.reencode(source, qp, clip.framerate) for qp in (0, *qps)
        ]
        pictures = zip(*(h264.frames(stream, wanted) for stream in streams))
        for name, images in zip(names, pictures):
            yield Frame(name, images, {**row, "frame": str(by_name[name])})

    return Content(name=name, frames=list(by_name), make=make)
