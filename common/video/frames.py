"""Frames of a video by number, as stored or as RGB."""

import contextlib
import itertools
import math
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np

from ..base.errors import UserError
from .ffmpeg import (
    FFmpegError,
    enlarge,
    input_arguments,
    open_reader,
    report_unreadable,
    run,
)
from .h264 import SCALER
from .pixel_formats import UNTAG
from .probe import FrameFormat, Video
from .selection import cover, find_ranges, make_filter

# Planar formats, whose frame size is known: values of 1 or 2 bytes, chroma sides rounded up.
_PLANAR = {
    f"yuv{range_}{chroma}p{depth}": (chroma, 1 if not depth else 2)
    for range_ in ("", "j")
    for chroma in ("420", "422", "444")
    for depth in ("", "10le", "12le")
} | {"gray": ("gray", 1), "gray10le": ("gray", 2), "gray12le": ("gray", 2)}
_NumberedFrames = Generator[tuple[int, bytes], None, None]
_BATCH = 2**25  # bytes of frames to convert to RGB at a time
_TO_RGB = f"scale=flags={SCALER},format=rgb24"


def read_frames(video: Video, numbers: Sequence[int]) -> Generator[np.ndarray, None, None]:
    """Yield frames of a video by number, from 0, in rising order: RGB, uint8 [height, width, 3].

    Each keeps its size, and is converted by its own matrix and range (BT.601 if untagged).

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    if is_planar(video):
        yield from convert_planar(video, read_planar(video, numbers))
        return
    # In the rare case that sizes or formats change, ffmpeg converts all frames to RGB.
    if not numbers:
        return
    words = ["-reinit_filter", 1, "-noautoscale", "-vf", f"{UNTAG},{_TO_RGB}"]
    every = range(max(numbers) + 1)
    sizes = [(video.format_at(number).height, video.format_at(number).width, 3) for number in every]
    wanted = {*numbers}
    for number, data in _read(video, words, every, map(math.prod, sizes)):
        if number in wanted:
            yield np.frombuffer(data, np.uint8).reshape(sizes[number])


def is_planar(video: Video) -> bool:
    """Check whether all frames have one size and a planar format, as `read_planar` needs."""
    uniform = len({each.layout for _, each in video.formats}) == 1
    return uniform and video.format.pixel_format in _PLANAR


def read_planar(video: Video, numbers: Sequence[int]) -> _NumberedFrames:
    """Yield frames as they are stored, in rising order, each after its number; see `is_planar`.

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    size = planar_bytes(video.format.pixel_format, video.format.width, video.format.height)
    return read_raw(video, "null", video.format.pixel_format, size, numbers)


def convert_planar(video: Video, frames: Iterable[tuple[int, bytes]]) -> Iterator[np.ndarray]:
    """Yield frames of `read_planar` as RGB, uint8 [height, width, 3], as `read_frames` does."""
    waiting: list[bytes] = []
    before = video.format
    for number, data in frames:
        frame_format = video.format_at(number)
        if waiting and (frame_format != before or len(waiting) * len(data) >= _BATCH):
            yield from _convert(video, before, waiting)
            waiting = []
        before = frame_format
        waiting.append(data)
    if waiting:
        yield from _convert(video, before, waiting)


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


def _convert(
    video: Video, frame_format: FrameFormat, frames: Sequence[bytes]
) -> Iterator[np.ndarray]:
    """Convert raw frames of one format to RGB."""
    matrix = frame_format.space
    # Of the two kinds of BT.2020, ffmpeg converts one only; they differ little.
    known = "bt2020nc" if matrix == "bt2020c" else matrix
    tags = colour_tags(frame_format._replace(space=known, primaries="", transfer=""))
    words = [*planar_input(frame_format), "-vf", f"{tags},{_TO_RGB}", "-f", "rawvideo", "-"]
    try:
        data = run(words, b"".join(frames))
    except FFmpegError as error:
        colours = f"its colours cannot be converted to RGB (matrix {matrix or 'not stated'}"
        raise UserError(f"{video.path}: {colours}: {error})") from None
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
    video: Video, graph: str, pixel_format: str, size: int, numbers: Sequence[int]
) -> _NumberedFrames:
    """Yield frames of a video whose frames all have one layout, converted, each after its number.

    Args:
        graph: ffmpeg filters that convert a frame.
        pixel_format: that they are converted to.
        size: of a converted frame, in bytes.
        numbers: of the frames, in rising order.

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    if not numbers:
        return
    wanted, read = {*numbers}, cover(find_ranges(numbers))
    words = ["-reinit_filter", 0, "-vf", f"{make_filter(read)},{graph}", "-pix_fmt", pixel_format]
    given = video, words, [*itertools.chain(*read)], itertools.repeat(size)
    with contextlib.closing(_read(*given)) as frames:
        yield from (frame for frame in frames if frame[0] in wanted)


def _read(
    video: Video, words: Sequence[object], numbers: Sequence[int], sizes: Iterable[int]
) -> _NumberedFrames:
    """Yield the raw frames that ffmpeg makes with the arguments `words`, each after its number.

    Args:
        numbers: of the frames that it makes.
        sizes: in bytes.

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    given = [*words[:2], *input_arguments(video.path, strict=True), "-map", "0:V:0", *words[2:]]
    # Without threads of the "encoder" and a buffer, each frame is passed on as soon as it is made.
    given += ["-threads", 1, "-flush_packets", 1, "-fps_mode", "passthrough"]
    given += ["-frames:v", len(numbers), "-f", "rawvideo", "-"]
    with report_unreadable(video.path), open_reader(given) as output:
        enlarge(output)
        for number, size in zip(numbers, sizes):
            if len(data := output.read(size)) < size:
                break
            yield number, data
        else:
            return
    raise UserError(f"{video.path}: ends before frame {number}")
