"""Frames of a video by number, as stored or as RGB.

Frames are counted here, as they come from the decoder, and not by a filter: a filter would count
from 0 again when size or colours change, and its arguments would grow with the video.
"""

import contextlib
import fcntl
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..base.errors import UserError
from .ffmpeg import input_arguments, open_reader, report_unreadable, run
from .h264 import SCALER
from .probe import Look, Video

# Formats of known frame size: planes of whole bytes, chroma dimensions rounded up.
_PLANAR = {
    f"yuv{range_}{chroma}p{depth}": (chroma, 1 if not depth else 2)
    for range_ in ("", "j")
    for chroma in ("420", "422", "444")
    for depth in ("", "10le", "12le")
} | {"gray": ("gray", 1), "gray10le": ("gray", 2), "gray12le": ("gray", 2)}
# Bytes of frames converted to RGB together; and of the pipe, Linux's limit for users.
_BATCH, _PIPE = 2**25, 2**20


def read_frames(video: Video, numbers: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield frames of a video by number, from 0, in rising order: RGB, uint8 [height, width, 3].

    Each has its own size, and is converted by its own matrix and range (BT.601 if untagged).

    Raises:
        UserError: the video cannot be read, or ends before the last number.
    """
    if video.look.pixel_format in _PLANAR and _is_uniform(video):
        yield from _read_planar(video, numbers)
        return
    # Rare: if sizes or formats change, ffmpeg converts all frames to RGB.
    graph = f"scale=flags={SCALER},format=rgb24"
    looks = ((video.look_at(number), number) for number in range(video.frames))
    sizes = (look.width * look.height * 3 for look, _ in looks)
    words = ["-noautoscale", "-vf", graph]
    for number, data in read_raw(video, words, sizes, numbers, reinit=True):
        look = video.look_at(number)
        yield np.frombuffer(data, np.uint8).reshape(look.height, look.width, 3)


def _is_uniform(video: Video) -> bool:
    return len({look[:3] for _, look in video.looks}) == 1


def _read_planar(video: Video, numbers: Sequence[int]) -> Iterator[np.ndarray]:
    size = planar_bytes(video.look.pixel_format, video.look.width, video.look.height)
    sizes = (size for _ in range(video.frames))
    waiting: list[bytes] = []
    before = video.look
    for number, data in read_raw(video, ["-pix_fmt", video.look.pixel_format], sizes, numbers):
        look = video.look_at(number)
        if waiting and (look != before or len(waiting) * size >= _BATCH):
            yield from _convert(before, waiting)
            waiting = []
        before = look
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


def _convert(look: Look, frames: Sequence[bytes]) -> Iterator[np.ndarray]:
    """Convert raw frames of this look to RGB."""
    tags = colour_tags(look)
    words = ["-f", "rawvideo", "-pix_fmt", look.pixel_format, "-s", f"{look.width}x{look.height}"]
    graph = f"{tags},scale=flags={SCALER},format=rgb24"
    words += ["-i", "pipe:0", "-vf", graph, "-f", "rawvideo", "-"]
    data = run(words, b"".join(frames))
    yield from np.frombuffer(data, np.uint8).reshape(-1, look.height, look.width, 3)


def colour_tags(look: Look) -> str:
    """Make the filter of ffmpeg that sets the colour tags of `look`."""
    tags = {
        "range": look.range,
        "colorspace": look.space,
        "color_primaries": look.primaries,
        "color_trc": look.transfer,
        # "left" is H.264's default, and older filters lack this option.
        "chroma_location": look.chroma if look.chroma != "left" else "",
    }
    kept = ":".join(f"{name}={value}" for name, value in tags.items() if value)
    return f"setparams={kept}" if kept else "null"


def read_raw(
    video: Video,
    words: Sequence[object],
    sizes: Iterable[int],
    numbers: Sequence[int],
    reinit: bool = False,
) -> Iterator[tuple[int, bytes]]:
    """Read the frames with these numbers, in rising order: each number, and the raw bytes.

    Args:
        words: arguments of ffmpeg that convert all frames.
        sizes: size of each converted frame in bytes.
        reinit: rebuild the filters when frames change.

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
