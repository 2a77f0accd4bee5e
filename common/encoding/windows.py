"""Windows of scenes: raw frames for trial encodes, read together with frames to predict from."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..video.ffmpeg import open_writer
from ..video.frames import (
    convert_planar,
    is_planar,
    planar_input,
    read_frames,
    read_planar,
    read_raw,
)
from ..video.probe import Video
from .raw import RawVideo

_FramesOfParts = Generator[Iterator[np.ndarray], None, None]


class _Part(NamedTuple):
    """Frames that are read together."""

    sampled: list[int]  # their numbers
    window: range  # the numbers of those that are written to the file `clip`
    clip: Path


def read_scenes(
    raw: RawVideo, sampled: Sequence[list[int]], windows: Sequence[list[range]], folder: Path
) -> Generator[tuple[Iterator[np.ndarray], list[Path]], None, None]:
    """Yield sampled frames of each scene, and a file with the raw frames of each of its windows.

    The frames are RGB, uint8 [height, width, 3]. The files are complete when all frames have been
    taken, and overwritten by those of the next scene but one, since all of them could fill a disk.
    The video is decoded only once, unless its pixel format is a rare one.

    Args:
        sampled: for each scene, the numbers of the frames to yield.
        windows: likewise, of the frames to write; all in rising order.

    Raises:
        UserError: the video cannot be read.
    """
    scenes: list[list[_Part]] = []
    for some, ranges in zip(sampled, windows):
        ends = [*(each.start for each in ranges[1:]), raw.video.frames]
        parts: list[_Part] = []
        for first, end, window in zip([0, *ends], ends, ranges):
            clip = folder / f"window{len(scenes) % 2}-{len(parts)}.nut"
            parts.append(_Part([each for each in some if first <= each < end], window, clip))
        scenes.append(parts)
    read = _read_once if is_planar(raw.video) else _read_twice
    with closing(read(raw, [*chain(*scenes)])) as frames:
        for parts in scenes:
            yield chain.from_iterable(islice(frames, len(parts))), [part.clip for part in parts]


def write_windows(
    raw: RawVideo, windows: Sequence[list[range]], folder: Path
) -> Iterator[list[Path]]:
    """Yield only the files of `read_scenes`, each complete."""
    for frames, clips in read_scenes(raw, [[]] * len(windows), windows, folder):
        deque(frames, 0)
        yield clips


def _read_once(raw: RawVideo, parts: Sequence[_Part]) -> _FramesOfParts:
    """Yield the sampled frames of each part, and write its window meanwhile."""
    numbers = [sorted({*part.sampled, *part.window}) for part in parts]
    words = [*planar_input(raw.video.format), "-vf", f"{raw.tags},{raw.graph}", "-c:v", "rawvideo"]
    words += ["-pix_fmt", raw.pixel_format.name]
    with closing(read_planar(raw.video, [*chain(*numbers)])) as stored:
        for part, both in zip(parts, numbers):
            given = [*_frame_rate(raw.video, part.window), *words]
            yield convert_planar(raw.video, _write_window(islice(stored, len(both)), given, part))


def _read_twice(raw: RawVideo, parts: Sequence[_Part]) -> _FramesOfParts:
    """Do the same with two readers, for pixel formats that ffmpeg has to convert."""
    name = raw.pixel_format.name
    numbers = [*chain(*(part.window for part in parts))]
    words = ["-f", "rawvideo", "-pix_fmt", name, "-s", f"{raw.width}x{raw.height}", "-i", "pipe:0"]
    words += ["-c", "copy"]
    with (
        closing(read_frames(raw.video, [*chain(*(part.sampled for part in parts))])) as frames,
        closing(read_raw(raw.video, raw.graph, name, raw.frame_bytes, numbers)) as of_windows,
    ):
        for part in parts:
            given = [*_frame_rate(raw.video, part.window), *words]
            deque(_write_window(islice(of_windows, len(part.window)), given, part), 0)
            yield islice(frames, len(part.sampled))


def _frame_rate(video: Video, numbers: range) -> list[object]:
    """Make ffmpeg's arguments for the mean frame rate, by which encoders choose quantizers."""
    seconds = video.times[numbers.stop] - video.times[numbers.start]
    return ["-framerate", len(numbers) / seconds] if seconds > 0 else []


def _write_window(
    frames: Iterable[tuple[int, bytes]], words: Sequence[object], part: _Part
) -> Iterator[tuple[int, bytes]]:
    """Write the numbered `frames` of a part's window to its file, and pass on the sampled ones."""
    with open_writer([*words, "-f", "nut", part.clip]) as pipe:
        for number, data in frames:
            if number in part.window:
                pipe.write(data)
            if number in part.sampled:
                yield number, data
