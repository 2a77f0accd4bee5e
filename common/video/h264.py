"""H.264 frames through ffmpeg: encode at a QP and decode.

Colour: a frame is RGB, uint8 [height, width, 3]. All commands convert between RGB and the codec's
YUV in the same way: 8-bit 4:2:0, limited range, BT.601 (`MATRIX`), by ffmpeg's scaler with the
flags `SCALER`: bicubic chroma at H.264's position, accurate rounding, and arithmetic that is the
same on every processor. Our streams state this in their headers. Foreign streams are converted by
the matrix and range that they state, or by BT.601, ffmpeg's default.

x264: all encodes use the settings `X264`. Rate control is constant QP. As in all x264 streams,
including VideoSet's, the nominal QP is that of P frames, and intra frames are coded 3 steps finer.
One thread gives the same bits on any machine. The `user data` header (x264's name and options,
about 600 bytes) is removed because it is not part of the picture.

`framerate` (1/s) is for bare H.264 streams, which need not state it.
"""

import functools
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import ffmpeg
import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from .ffmpeg import (
    graph_arguments,
    input_graph,
    open_reader,
    report_unreadable,
    run,
    unnamed_file,
)

MATRIX = "bt601"
SCALER = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
X264 = {
    "format": "h264",
    "vcodec": "libx264",
    "preset": "medium",
    "pix_fmt": "yuv420p",
    "threads": 1,
    "bsf:v": "filter_units=remove_types=6",
}
_TAGS = {"colorspace": "smpte170m", "color_range": "tv"}  # in the headers of streams made here
FINEST_OF_EACH = 4  # QP of `encode_each`
_TERMS = 50  # frames selected by one ffmpeg, each a term of the filter expression


def encode(rgb: np.ndarray, qp: int) -> bytes:
    """Encode a frame with even sides as an H.264 stream at constant QP 0 (lossless) to 51."""
    coded = yuv_input(rgb).output("pipe:", qp=qp, **_TAGS, **X264)
    return run(graph_arguments(coded), rgb.tobytes(), needs="libx264")


def encode_each(frames: Sequence[np.ndarray], qps: Sequence[Sequence[int]]) -> list[list[bytes]]:
    """Encode each of several frames of one size at each of its QPs, in one run of x264.

    The streams decode to the same pixels as those of `encode`. x264 encodes the frames repeatedly
    in one all-intra stream with a zone per QP. A zone's QP is at least 1, which corresponds to the
    nominal 4, `FINEST_OF_EACH`.

    Returns:
        The H.264 streams of each frame, one per QP.
    """
    each = [qp for of_frame in qps for qp in of_frame]
    if min(each) < FINEST_OF_EACH:
        raise ValueError(f"QPs must be at least {FINEST_OF_EACH}, not {min(each)}")
    # A zone at the very first frame has no effect. Every frame begins with a delimiter.
    zones = "/".join(f"{index},{index},q={qp - 3}" for index, qp in enumerate(each, 1))
    params = f"keyint=1:aq-mode=0:mbtree=0:aud=1:zones={zones}"
    first, *others = map(len, qps)
    repeated = repeat_frames(yuv_input(frames[0]), [first + 1, *others])
    options = {"crf": 30, "fps_mode": "passthrough", "x264-params": params}
    coded = repeated.output("pipe:", **options, **_TAGS, **X264)
    data = b"".join(frame.tobytes() for frame in frames)
    delimiter = b"\x00\x00\x00\x01\x09"
    made = run(graph_arguments(coded), data, needs="libx264").split(delimiter)[2:]
    streams = iter([delimiter + stream for stream in made])
    return [[*itertools.islice(streams, len(of_frame))] for of_frame in qps]


def reencode(path: Path, qp: int, framerate: int | None = None) -> bytes:
    """Encode a whole clip as an H.264 stream at constant QP, with its colours unchanged.

    Raises:
        UserError: the file cannot be read as a video.
    """
    coded = input_graph(path, framerate).output("pipe:", qp=qp, **X264)
    with report_unreadable(path):
        return run(graph_arguments(coded), needs="libx264")


def decode(stream: bytes) -> np.ndarray:
    """Decode a stream of one frame to RGB, uint8 [height, width, 3]."""
    (frame,) = _read_ppm(io.BytesIO(run(_ppm_arguments(stream_input()), stream)), 1)
    return frame


def frames(source: Path | bytes, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield frames of an H.264 file or stream by number, from 0, in rising order.

    For any other kind of video, use `video.frames`.

    Returns:
        RGB frames, uint8 [height, width, 3].

    Raises:
        UserError: the source cannot be read as a video, or ends before the last number.
    """
    left = list(numbers)
    while left:
        # ffmpeg accepts about 100 terms.
        yield from _frames(source, left[:_TERMS])
        left = left[_TERMS:]


def _frames(source: Path | bytes, numbers: Sequence[int]) -> Iterator[np.ndarray]:
    if isinstance(source, bytes):
        name, data, stream = "the encoded clip", source, stream_input()
    else:
        name, data, stream = str(source), b"", input_graph(source)
    selected = stream.filter("select", "+".join(f"eq(n,{number})" for number in numbers))
    words = _ppm_arguments(selected, fps_mode="passthrough", vframes=len(numbers))
    count = 0
    with (
        report_unreadable(name),
        unnamed_file(data) as coded,
        open_reader(words, stdin=coded) as output,
    ):
        for picture in _read_ppm(output, len(numbers)):
            count += 1
            yield picture
    if count < len(numbers):
        raise UserError(f"{name}: ends before frame {numbers[count]}")


@functools.cache
def encoder() -> str:
    """Name x264 and ffmpeg with their versions.

    Raises:
        UserError: this ffmpeg was built without x264.
    """
    return f"x264 {x264_version()}, ffmpeg {ffmpeg_version()}"


@functools.cache
def ffmpeg_version() -> str:
    """Read the version of ffmpeg."""
    words = run(["-version"]).decode().split()
    return words[2] if len(words) > 2 else "of unknown version"


@functools.cache
def x264_version() -> str:
    """Read the version of x264 from the header of a stream.

    Raises:
        UserError: this ffmpeg was built without x264.
    """
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    coded = yuv_input(grey).output("pipe:", qp=30, **{**X264, "bsf:v": "null"})
    stream = run(graph_arguments(coded), grey.tobytes(), needs="libx264")
    return re.findall(rb"x264 - (core \d+(?: r\d+)?)", stream)[0].decode()


def stream_input(path: str = "pipe:"):
    """Open an H.264 stream for an ffmpeg-python graph."""
    return ffmpeg.input(path, format="h264", threads=1)


def yuv_input(rgb: np.ndarray, path: str = "pipe:"):
    """Open RGB frames of the size of `rgb` for a graph, and convert them to our YUV."""
    size = f"{rgb.shape[1]}x{rgb.shape[0]}"
    raw = ffmpeg.input(path, format="rawvideo", pix_fmt="rgb24", s=size, threads=1)
    scaled = raw.filter("scale", out_color_matrix=MATRIX, out_range="tv", flags=SCALER)
    return scaled.filter("format", "yuv420p")


def repeat_frames(video, counts: Sequence[int]):
    """Repeat the frames of a video in a graph, in order, each as often as its count."""
    branches = video.filter_multi_output("split", len(counts))
    shown = [
        branches[number]
        .filter("trim", start_frame=number, end_frame=number + 1)
        .filter("setpts", "N")
        .filter("loop", loop=count - 1, size=1)
        for number, count in enumerate(counts)
    ]
    return ffmpeg.concat(*shown).filter("setpts", "N")


def _ppm_arguments(yuv, **options: object) -> list[object]:
    """Make the arguments that convert YUV to PPM files by the stream's own matrix and range."""
    rgb = yuv.filter("scale", flags=SCALER).filter("format", "rgb24")
    return graph_arguments(rgb.output("pipe:", format="image2pipe", vcodec="ppm", **options))


def _read_ppm(pipe: IO[bytes], count: int) -> Iterator[np.ndarray]:
    """Yield up to `count` pictures from concatenated PPM files, ignoring an incomplete last one."""
    for _ in range(count):
        if pipe.readline() != b"P6\n":
            return
        width, height = map(int, pipe.readline().split())
        pipe.readline()
        pixels = pipe.read(height * width * 3)
        if len(pixels) < height * width * 3:
            return
        yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
