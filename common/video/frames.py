"""Frames of a video by number, as stored or as RGB.

Frames are counted here and not by a filter of ffmpeg, which would restart from 0 when size or
colours change, and whose arguments would grow with the video.
"""

import contextlib
import fcntl
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..base.errors import UserError
from .ffmpeg import input_arguments, open_reader, report_unreadable, run
from .h264 import SCALER
from .probe import FrameFormat, Video

# Planar formats, whose frame size is known: values of 1 or 2 bytes, chroma sides rounded up.
_PLANAR = {
    f"yuv{range_}{chroma}p{depth}": (chroma, 1 if not depth else 2)
    for range_ in ("", "j")
    for chroma in ("420", "422", "444")
    for depth in ("", "10le", "12le")
} | {"gray": ("gray", 1), "gray10le": ("gray", 2), "gray12le": ("gray", 2)}
# Bytes of frames to convert to RGB at a time, and of the pipe (Linux's limit for users).
_BATCH, _PIPE = 2**25, 2**20


def read_frames(video: Video, numbers: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield frames of a video by number, from 0, in rising order: RGB, uint8 [height, width, 3].

    Each keeps its size, and is converted by its own matrix and range (BT.601 if untagged).

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    if is_planar(video):
        yield from convert_planar(video, read_planar(video, numbers))
        return
    # In the rare case that sizes or formats change, ffmpeg converts all frames to RGB.
    graph = f"scale=flags={SCALER},format=rgb24"
    formats = map(video.format_at, range(video.frames))
    sizes = (each.width * each.height * 3 for each in formats)
    words = ["-noautoscale", "-vf", graph]
    for number, data in read_raw(video, words, sizes, numbers, reinit=True):
        frame_format = video.format_at(number)
        yield np.frombuffer(data, np.uint8).reshape(frame_format.height, frame_format.width, 3)


def is_planar(video: Video) -> bool:
    """Check whether all frames have one size and a planar format, as `read_planar` needs."""
    uniform = len({each.layout for _, each in video.formats}) == 1
    return uniform and video.format.pixel_format in _PLANAR


def read_planar(video: Video, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield frames as they are stored, in rising order, each after its number; see `is_planar`.

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    size = planar_bytes(video.format.pixel_format, video.format.width, video.format.height)
    words = ["-pix_fmt", video.format.pixel_format]
    return read_raw(video, words, itertools.repeat(size, video.frames), numbers)


def convert_planar(video: Video, frames: Iterable[tuple[int, bytes]]) -> Iterator[np.ndarray]:
    """Yield frames of `read_planar` as RGB, uint8 [height, width, 3], as `read_frames` does."""
    waiting: list[bytes] = []
    before = video.format
    for number, data in frames:
        frame_format = video.format_at(number)
        if waiting and (frame_format != before or len(waiting) * len(data) >= _BATCH):
            yield from _convert(before, waiting)
            waiting = []
        before = frame_format
        waiting.append(data)
    if waiting:
        yield from _convert(before, waiting)


def planar_bytes(pixel_format: str, width: int, height: int) -> int:
    """Compute the size in bytes of a frame in one of the planar formats."""
    chroma, width_of_value = _PLANAR[pixel_format]
    across = -(-width // 2) if chroma in ("420", "422") else width
    down = -(-height // 2) if chroma == "420" else height
    values = width * height + (0 if chroma == "gray" else 2 * across * down)
    return values * width_of_value


def planar_input(frame_format: FrameFormat) -> list[object]:
    """Make ffmpeg's arguments that read frames of `read_planar` from its stdin."""
    size = f"{frame_format.width}x{frame_format.height}"
    words = ["-f", "rawvideo", "-pix_fmt", frame_format.pixel_format, "-s", size]
    return [*words, "-i", "pipe:0"]


def _convert(frame_format: FrameFormat, frames: Sequence[bytes]) -> Iterator[np.ndarray]:
    """Convert raw frames of one format to RGB."""
    tags = colour_tags(frame_format)
    words = planar_input(frame_format)
    graph = f"{tags},scale=flags={SCALER},format=rgb24"
    data = run([*words, "-vf", graph, "-f", "rawvideo", "-"], b"".join(frames))
    yield from np.frombuffer(data, np.uint8).reshape(-1, frame_format.height, frame_format.width, 3)


def colour_tags(frame_format: FrameFormat) -> str:
    """Make the ffmpeg filter that sets the colour tags of `frame_format`."""
    tags = {
        "range": frame_format.range,
        "colorspace": frame_format.space,
        "color_primaries": frame_format.primaries,
        "color_trc": frame_format.transfer,
        # "left" is H.264's default, and older filters lack this option.
        "chroma_location": frame_format.chroma if frame_format.chroma != "left" else "",
    }
    stated = ":".join(f"{name}={value}" for name, value in tags.items() if value)
    return f"setparams={stated}" if stated else "null"


def read_raw(
    video: Video,
    words: Sequence[object],
    sizes: Iterable[int],
    numbers: Sequence[int],
    reinit: bool = False,
) -> Iterator[tuple[int, bytes]]:
    """Yield the raw bytes of the frames with these numbers, in rising order, after their number.

    Args:
        words: arguments of ffmpeg that convert the frames.
        sizes: the size of each converted frame in bytes.
        reinit: whether to rebuild the filters when frames change.

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    if not numbers:
        return
    given = ["-reinit_filter", int(reinit), *input_arguments(video.path, strict=True)]
    given += ["-map", "0:V:0", *words, "-fps_mode", "passthrough"]
    given += ["-frames:v", numbers[-1] + 1, "-f", "rawvideo", "-"]
    wanted = iter(numbers)
    number = next(wanted)
    buffer = bytearray()
    with report_unreadable(video.path), open_reader(given) as output:
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE)
        for at, size in enumerate(itertools.islice(sizes, numbers[-1] + 1)):
            buffer = buffer if len(buffer) == size else bytearray(size)
            if output.readinto(buffer) < size:
                break
            if at == number:
                yield number, bytes(buffer)
                number = next(wanted, -1)
    if number >= 0:
        raise UserError(f"{video.path}: ends before frame {number}")
