"""H.264 frames through ffmpeg: encode at a QP, decode, and measure.

Colour. A frame is RGB, uint8 [height, width, 3]. Between RGB and the codec's YUV lies one rule for
every command: 8-bit 4:2:0, limited range, BT.601 (`MATRIX`), converted by ffmpeg's scaler with
`SCALER` flags: bicubic chroma at the position H.264 gives it, accurate rounding, and the arithmetic
that is the same on every processor. Streams made here say so in their header. Where a foreign
stream names another matrix or range, that is used; one that names none is BT.601, as every ffmpeg
tool takes it.

x264. `X264` holds the settings of every encode. The rate control is constant QP; as in all x264
streams, VideoSet's too, the nominal QP is that of the P frames, and an intra frame is coded 3
steps finer. One thread, so that the same frame gives the same bits on any machine. The `user data`
header (x264's own name and options, some 600 bytes) is taken out: it is not the picture's.

Whatever reads a file raises UserError where that cannot be read as a video. `framerate` (1/s) is
for bare H.264 streams, which need not tell theirs.

Measures are taken between 4:2:0 frames. PSNR (dB) and SSIM are those of luma, as is VMAF, which
uses libvmaf's default model on single frames.
"""

import functools
import io
import itertools
import json
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import ffmpeg
import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from .ffmpeg import binary, command, opened, output, reason, run, unnamed

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
# What the header of a stream says of its colours.
TOLD = {"colorspace": "smpte170m", "color_range": "tv"}
FINEST_OF_EACH = 4
_TERMS = 50  # frames selected by one ffmpeg, each a term of the filter expression
# VMAF of frames that are no video: between them there is no motion, which lets it forgive more.
STILL = "version=vmaf_v0.6.1:motion.motion_force_zero=true"
# What ffmpeg's metric filters say at the end of a run.
SCORES = {"psnr": r"PSNR y:(\S+)", "ssim": r"SSIM Y:(\S+)", "vmaf": r"VMAF score: (\S+)"}


class Clip(NamedTuple):
    """What `inspect` finds: size in pixels, and the time of each frame in seconds, in order."""

    width: int
    height: int
    times: list[float]


def encode(rgb: np.ndarray, qp: int) -> bytes:
    """A frame as an H.264 stream of its own, at constant QP 0 (lossless) to 51.

    Height and width must be even, as 4:2:0 wants them.
    """
    coded = _yuv(rgb).output("pipe:", qp=qp, **TOLD, **X264)
    return output(coded, rgb.tobytes(), "libx264")


def encode_each(frames: Sequence[np.ndarray], qps: Sequence[Sequence[int]]) -> list[list[bytes]]:
    """Each of some frames of one size at each of its QPs, an H.264 stream each, from one run.

    They decode to the pixels that those of `encode` decode to. That holds from `FINEST_OF_EACH` on:
    x264 codes a frame again and again in one all-intra stream, a zone per QP, and a zone has no
    QP below 1, which is the nominal 4.
    """
    each = [qp for of_frame in qps for qp in of_frame]
    if min(each) < FINEST_OF_EACH:
        raise ValueError(f"QPs from {FINEST_OF_EACH} on, not {min(each)}")
    # A zone at the very first frame has no effect. Every frame begins with a delimiter.
    zones = "/".join(f"{place},{place},q={qp - 3}" for place, qp in enumerate(each, 1))
    params = f"keyint=1:aq-mode=0:mbtree=0:aud=1:zones={zones}"
    first, *others = map(len, qps)
    again = _repeated(_yuv(frames[0]), [first + 1, *others])
    options = {"crf": 30, "fps_mode": "passthrough", "x264-params": params}
    coded = again.output("pipe:", **options, **TOLD, **X264)
    delimiter = b"\x00\x00\x00\x01\x09"
    made = output(coded, _bytes(frames), "libx264").split(delimiter)[2:]
    streams = iter([delimiter + stream for stream in made])
    return [[*itertools.islice(streams, len(of_frame))] for of_frame in qps]


def reencode(path: Path, qp: int, framerate: int | None = None) -> bytes:
    """A whole clip as an H.264 stream at constant QP, its colours untouched."""
    coded = opened(path, framerate).output("pipe:", qp=qp, **X264)
    return output(coded, needs="libx264", source=path)


def decode(stream: bytes) -> np.ndarray:
    """The frame that a stream of one frame holds: RGB, uint8 [height, width, 3]."""
    return _next_ppm(io.BytesIO(output(_ppm(_stream()), stream)))


def frames(source: Path | bytes, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """Frames of an H.264 stream by number, from 0, in rising order: RGB, uint8 [height, width, 3].

    `source` is a file, or the bytes of a stream; it is an error if it ends before the last number.
    For any other kind of video, use `common.video.frames`.
    """
    left = list(numbers)
    while left:
        # ffmpeg accepts about 100 terms.
        yield from _frames(source, left[:_TERMS])
        left = left[_TERMS:]


def _frames(source: Path | bytes, numbers: Sequence[int]) -> Iterator[np.ndarray]:
    if isinstance(source, bytes):
        name, data, stream = "the encoded clip", source, _stream()
    else:
        name, data, stream = str(source), b"", opened(source)
    video = stream.filter("select", "+".join(f"eq(n,{number})" for number in numbers))
    pictures = command(_ppm(video, fps_mode="passthrough", vframes=len(numbers)))
    with unnamed(data) as coded, unnamed() as errors, ExitStack() as stack:
        pipes: dict[str, Any] = {"stdin": coded, "stdout": subprocess.PIPE, "stderr": errors}
        process = stack.enter_context(subprocess.Popen(pictures, **pipes))
        # Registered last, so run first: a reader that stops early must not wait for ffmpeg.
        stack.callback(process.kill)
        for number in numbers:
            picture = _next_ppm(process.stdout)
            if picture is None:
                errors.seek(0)
                why = reason(errors.read())
                if process.wait() and why:
                    raise UserError(f"{name}: cannot be read as a video ({why})")
                raise UserError(f"{name}: ends before frame {number}")
            yield picture


def inspect(path: Path, framerate: int | None = None) -> Clip:
    """Size and frame times of a video; every frame is decoded, so what is whole is known."""
    listing = opened(path, framerate).output("pipe:", format="framecrc", fps_mode="passthrough")
    text = output(listing, source=path).decode()
    head = re.search(r"#tb 0: (\d+)/(\d+)$.*^#dimensions 0: (\d+)x(\d+)$", text, re.M | re.S)
    # Lines: stream, decoding time, presentation time, duration, size, checksum.
    stamps = list(map(int, re.findall(r"^0,[^,]*, *(-?\d+),", text, re.M)))
    if not head or not stamps:
        raise UserError(f"{path}: cannot be read as a video (no frames in it)")
    ticks, per_second, width, height = map(int, head.groups())
    return Clip(width, height, [(stamp - stamps[0]) * ticks / per_second for stamp in stamps])


def first_of_each_second(times: list[float]) -> list[int]:
    """The numbers of the frames that are the first at or after 0, 1, 2 ... seconds.

    A second within which no frame begins has none.
    """
    # Time stamps are ticks of any length: 0.9999 of a second is one second.
    seconds = np.maximum.accumulate((np.array(times) + 1e-3).astype(int))
    return np.unique(seconds, return_index=True)[1].tolist()


def measure(
    reference: np.ndarray, distorted: np.ndarray | bytes, metrics: Collection[str] = tuple(SCORES)
) -> dict[str, float]:
    """How near a frame is to its reference: PSNR (dB, inf where equal), SSIM (to 1), VMAF (to 100).

    `distorted` is a frame of the same size, or the H.264 stream of one, as `encode` makes it.
    """
    data = distorted if isinstance(distorted, bytes) else distorted.tobytes()
    with unnamed(data) as file:
        path = f"/dev/fd/{file.fileno()}"
        picture = _stream(path) if isinstance(distorted, bytes) else _yuv(distorted, path)
        picture = picture.filter("setpts", "PTS-STARTPTS")
        references = _yuv(reference).filter_multi_output("split", len(metrics))
        # Each metric filter hands its first input on to the next.
        for number, metric in enumerate(metrics):
            name = "libvmaf" if metric == "vmaf" else metric
            picture = ffmpeg.filter([picture, references[number]], name)
        graph = picture.output("pipe:", format="null").global_args("-filter_complex_threads", "1")
        wanted = command(graph, "libvmaf" if "vmaf" in metrics else None, "info")
        log = run(wanted, reference.tobytes(), (file.fileno(),)).stderr.decode(errors="replace")
    fields = {metric: re.search(SCORES[metric], log) for metric in metrics}
    if not all(fields.values()):
        raise RuntimeError(f"ffmpeg gave no {', '.join(metrics)}: {log[-500:]}")
    return {metric: float(match[1]) for metric, match in fields.items()}


def vmaf_of_each(
    references: Sequence[np.ndarray], streams: Sequence[Sequence[bytes]]
) -> list[list[float]]:
    """VMAF of the streams of each of some frames of one size, as `measure` gives it, from one run.

    A lossless stream (QP 0) stands alone: ffmpeg decodes lossy ones after it wrongly.
    """
    with unnamed(b"".join(itertools.chain(*streams))) as file:
        again = _repeated(_yuv(references[0]), [*map(len, streams)])
        pair = [
            video.filter("settb", "1/25").filter("setpts", "N")
            for video in (_stream(f"/dev/fd/{file.fileno()}"), again)
        ]
        measured = ffmpeg.filter(
            pair, "libvmaf", model=STILL, log_fmt="json", log_path="/dev/stdout"
        )
        graph = measured.output("pipe:", format="null").global_args("-filter_complex_threads", "1")
        log = run(command(graph, "libvmaf"), _bytes(references), (file.fileno(),)).stdout
    scores = iter([frame["metrics"]["vmaf"] for frame in json.loads(log)["frames"]])
    return [[*itertools.islice(scores, len(of_frame))] for of_frame in streams]


def bits(stream: bytes) -> int:
    """Bits that a stream takes."""
    return 8 * len(stream)


def encoder() -> str:
    """Name and version of what `encode` encodes with."""
    binary("libx264")  # says what is missing where there is none
    return f"x264 {versions()['x264']}, ffmpeg {versions()['ffmpeg']}"


def metric() -> str:
    """Name and version of the VMAF that `measure` measures."""
    binary("libvmaf")
    return versions()["vmaf"]


@functools.cache
def versions() -> dict[str, str]:
    """Names and versions of the tools: `ffmpeg`, and `x264` and `vmaf` where there are such."""
    words = run([binary(), "-version"]).stdout.decode().split()
    names = {"ffmpeg": words[2] if len(words) > 2 else "of unknown version"}
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    with suppress(UserError):
        coded = _yuv(grey).output("pipe:", qp=30, **{**X264, "bsf:v": "null"})
        header = output(coded, grey.tobytes(), "libx264")
        names["x264"] = re.search(rb"x264 - (core \d+(?: r\d+)?)", header)[1].decode()
        pair = _yuv(grey).filter_multi_output("split")
        log = ffmpeg.filter([pair[0], pair[1]], "libvmaf", log_fmt="json", log_path="/dev/stdout")
        report = output(log.output("pipe:", format="null"), grey.tobytes(), "libvmaf")
        number = re.search(rb'"version": "([^"]+)"', report)
        version = number[1].decode() if number else "of unknown version"
        names["vmaf"] = f"libvmaf {version}, vmaf_v0.6.1"
    return names


def _stream(path: str = "pipe:"):
    """An input of an H.264 stream."""
    return ffmpeg.input(path, format="h264", threads=1)


def _yuv(rgb: np.ndarray, path: str = "pipe:"):
    """An input of RGB frames of this one's size, as the YUV that is coded and measured."""
    size = f"{rgb.shape[1]}x{rgb.shape[0]}"
    raw = ffmpeg.input(path, format="rawvideo", pix_fmt="rgb24", s=size, threads=1)
    scaled = raw.filter("scale", out_color_matrix=MATRIX, out_range="tv", flags=SCALER)
    return scaled.filter("format", "yuv420p")


def _repeated(video, counts: Sequence[int]):
    """A video of so many frames, each shown so often in turn."""
    branches = video.filter_multi_output("split", len(counts))
    shown = [
        branches[number]
        .filter("trim", start_frame=number, end_frame=number + 1)
        .filter("setpts", "N")
        .filter("loop", loop=count - 1, size=1)
        for number, count in enumerate(counts)
    ]
    return ffmpeg.concat(*shown).filter("setpts", "N")


def _bytes(frames: Sequence[np.ndarray]) -> bytes:
    return b"".join(frame.tobytes() for frame in frames)


def _ppm(yuv, **options):
    """PPM files in RGB of YUV: by the stream's own matrix and range, BT.601 where it names none."""
    rgb = yuv.filter("scale", flags=SCALER).filter("format", "rgb24")
    return rgb.output("pipe:", format="image2pipe", vcodec="ppm", **options)


def _next_ppm(pipe: IO[bytes]) -> np.ndarray | None:
    """The next picture of a row of binary PPM files; None at the end."""
    if pipe.readline() != b"P6\n":
        return None
    width, height = map(int, pipe.readline().split())
    pipe.readline()
    pixels = pipe.read(height * width * 3)
    if len(pixels) < height * width * 3:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
