"""Probing of video files by decoding them completely, which also detects damage."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import UserError
from ..base.files import check_regular
from .cuts import HEIGHT, THUMBNAILS, WIDTH, find_cuts
from .damage import find_loss
from .ffmpeg import (
    FFmpegError,
    binary,
    find_reason,
    input_arguments,
    open_reader,
    run,
    unnamed_file,
)

# Duration of a frame in seconds if the file does not state it.
_FRAME_SECONDS = 0.04
_FRAME = re.compile(
    r"n: *\d+ pts: *(?P<pts>\S+) pts_time:\S+"
    r"(?: +duration: *\S+ duration_time:(?P<duration>\S+))?.*? fmt:(?P<pixel_format>\S+)"
    r"(?: cl:(?P<chroma>\S+))? sar:(?P<aspect>\S+) s:(?P<width>\d+)x(?P<height>\d+) i:(?P<field>\S)"
)
_TIME_BASE = re.compile(r"config in time_base: (\d+)/(\d+)")
_COLOURS = re.compile(
    r"color_range:(?P<range>\S+) color_space:(?P<space>\S+)"
    # A warning of another of ffmpeg's threads may follow on the same line.
    r" color_primaries:(?P<primaries>\S+) color_trc:(?P<transfer>[a-z0-9-]+|\S+)"
)
# Streams in a group are indented further; a language may be any word.
_STREAM = re.compile(r" {2,6}Stream #0:(\d+)(?:.*?: (\w+): (\w+)(.*))?")
_DISPOSITIONS = re.compile(
    r"\((default|dub|original|comment|lyrics|karaoke|forced|hearing_impaired|visual_impaired"
    r"|clean_effects|captions|descriptions|dependent)\)"
)
_DOLBY_VISION = re.compile(r" {4,}(DOVI configuration record:.*)")
_UNKNOWN = ("unknown", "unspecified", "reserved", "N/A")
_LINES_KEPT = 200  # of ffmpeg's log, to find the reason of a failure


class FrameFormat(NamedTuple):
    """Properties that may change between frames; colours are ffmpeg's names, or '' if unknown."""

    width: int
    height: int
    pixel_format: str
    aspect: str  # pixel aspect ratio, such as 1/1
    range: str
    space: str
    primaries: str
    transfer: str
    chroma: str  # position of the chroma samples, if stated

    @property
    def layout(self) -> tuple[int, int, str]:
        """Width, height and pixel format, which determine a decoder's buffers."""
        return self.width, self.height, self.pixel_format


class Stream(NamedTuple):
    """A stream of a file, as listed by ffmpeg."""

    number: int
    kind: str  # Video, Audio, Subtitle, Data, Attachment
    codec: str
    cover: bool  # a cover picture, not a video
    dispositions: list[str]  # default, forced ...

    @property
    def is_video(self) -> bool:
        """Whether it is a video other than a cover picture."""
        return self.kind == "Video" and not self.cover


class Video(NamedTuple):
    """Contents of a video file, as found by `probe`."""

    path: Path
    formats: list[tuple[int, FrameFormat]]  # each with its first frame, in order
    times: list[float]  # of each frame, and of the end of the last, in seconds from the first
    cuts: list[int]  # first frames after a cut
    start: float  # of the first frame, in seconds from the file's start, which may be its sound's
    interlaced: int | None  # number of the first interlaced frame
    side_data: list[str]  # of the first frame and of the stream, as ffmpeg prints it
    chapters: bool  # whether the file has chapters
    streams: list[Stream]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times) - 1

    @property
    def format(self) -> FrameFormat:
        """Format of the first frame."""
        return self.formats[0][1]

    def format_at(self, number: int) -> FrameFormat:
        """Find the format of the frame with that number."""
        return next(
            frame_format for first, frame_format in reversed(self.formats) if first <= number
        )


def first_of_each_second(times: Sequence[float]) -> list[int]:
    """Select the first frame at or after each of 0, 1, 2 ... seconds; a second may have none."""
    # Time stamps are rounded to ticks of any length: 0.9999 s counts as 1 s.
    seconds = np.maximum.accumulate((np.array(times) + 1e-3).astype(int))
    return np.unique(seconds, return_index=True)[1].tolist()


def probe(path: Path, framerate: int | None = None) -> Video:
    """Decode a video and describe its contents; memory grows by only a few bytes per frame.

    Args:
        framerate: frames per second of a bare H.264 stream that does not state it.

    Raises:
        UserError: the file cannot be read as a video from its first frame to its last.
    """
    _check_file(path)
    # Rebuilding the graph when frames change would restart the count.
    words: list[object] = ["-reinit_filter", 0, *(["-framerate", framerate] if framerate else [])]
    words += [*input_arguments(path, strict=True), "-map", "0:V:0"]
    words += ["-vf", f"showinfo=checksum=0,{THUMBNAILS}", "-fps_mode", "passthrough"]
    words += ["-f", "rawvideo", "-"]
    # All streams are mapped, since in some formats time begins with the first one in use.
    words += ["-map", 0, "-c", "copy", "-copy_unknown", "-f", "null", "-"]
    found, log, loss = _Parser(), deque[str](maxlen=_LINES_KEPT), ""
    with unnamed_file() as thumbnails:
        try:
            with open_reader(words, "stderr", loglevel="info", stdout=thumbnails) as messages:
                for line in messages:
                    text = line.decode(errors="replace").rstrip("\n")
                    loss = loss or find_loss(path, text)  # two threads may share a line
                    if not found.parse(text):
                        log.append(text)
        except FFmpegError:
            why = _explain(path, found, find_reason("\n".join(_select_errors(log)).encode()))
            raise UserError(f"{path}: cannot be read as a video ({why})") from None
        if not found.times:
            raise UserError(f"{path}: cannot be read as a video (no frames in it)")
        if not any(each.is_video for each in found.streams.values()):
            raise UserError(f"{path}: {binary()} lists its streams in an unknown format; update it")
        if loss:
            raise UserError(f"{path}: cannot be read as a video ({loss})")
        thumbnails.seek(0)
        pixels = np.frombuffer(thumbnails.read(), np.uint8).reshape(-1, HEIGHT * WIDTH)
    return found.video(path, find_cuts(pixels, found.times))


def _check_file(path: Path) -> None:
    """Raise a UserError if `path` cannot be opened or is empty."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            if not file.read(1):
                raise UserError(f"{path}: cannot be read as a video (it is empty)")
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None


class _Parser:
    """Parser of ffmpeg's output, which collects the contents of a video."""

    def __init__(self) -> None:
        self.formats: list[tuple[int, FrameFormat]] = []
        self.times: list[float] = []
        self.time_base = 0.0  # seconds
        self.interlaced: int | None = None
        self.side_data: list[str] = []
        self.streams: dict[int, Stream] = {}
        self.chapters = False
        self.duration = 0.0
        self._frame: dict[str, str] = {}

    def parse(self, line: str) -> bool:
        """Parse a line of ffmpeg's output; False if it says nothing about the video's contents."""
        if match := _FRAME.search(line):
            self._add_frame(match.groupdict())
        elif match := _TIME_BASE.search(line):
            self.time_base = int(match[1]) / int(match[2])
        elif match := _COLOURS.search(line):
            self._add_format(match.groupdict())
        elif line.startswith("[Parsed_showinfo"):
            if "side data - " in line and len(self.times) < 2:
                self.side_data.append(line.split("side data - ")[-1].strip())
        elif match := _DOLBY_VISION.match(line):
            self.side_data.append(match[1])
        elif (match := _STREAM.match(line)) and not self.times:
            self._add_stream(*match.groups(default=""))
        elif line == "  Chapters:":
            self.chapters = True
        else:
            return False
        return True

    def _add_stream(self, number: str, kind: str, codec: str, more: str) -> None:
        cover, dispositions = "(attached pic)" in more, _DISPOSITIONS.findall(more)
        codec = "timecode" if "(tmcd" in more else codec
        self.streams.setdefault(int(number), Stream(int(number), kind, codec, cover, dispositions))

    def _add_frame(self, frame: dict[str, str]) -> None:
        before = self.times[-1] if self.times else -_FRAME_SECONDS
        # Older ffmpegs print six digits of `pts_time`, too few to tell frames of a film apart.
        time, duration = _seconds(frame["pts"]), _seconds(frame["duration"])
        self.times.append(before + _FRAME_SECONDS if time is None else time * self.time_base)
        self.duration = duration or 0.0
        if frame["field"] in "TB" and self.interlaced is None:
            self.interlaced = len(self.times) - 1
        self._frame = frame

    def _add_format(self, colours: dict[str, str]) -> None:
        tags = *colours.values(), self._frame["chroma"] or ""
        known = [name if name not in _UNKNOWN else "" for name in tags]
        sides = int(self._frame["width"]), int(self._frame["height"])
        frame_format = FrameFormat(
            *sides, self._frame["pixel_format"], _reduce(self._frame["aspect"]), *known
        )
        if not self.formats or self.formats[-1][1] != frame_format:
            self.formats.append((len(self.times) - 1, frame_format))

    def video(self, path: Path, cuts: list[int]) -> Video:
        """Describe the video after all lines have been parsed."""
        first, count = self.times[0], len(self.times)
        times = [time - first for time in self.times]
        # If the duration of the last frame is not stated, it is the mean of the others.
        last = self.duration or (times[-1] / (count - 1) if count > 1 else _FRAME_SECONDS)
        return Video(
            path=path,
            formats=self.formats,
            times=[*times, times[-1] + last],
            cuts=cuts,
            start=first,
            interlaced=self.interlaced,
            side_data=self.side_data,
            chapters=self.chapters,
            streams=[self.streams[number] for number in sorted(self.streams)],
        )


def _seconds(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:  # NOPTS, N/A
        return None


def _reduce(aspect: str) -> str:
    """Normalise a pixel aspect ratio: 1/1 if it is square or unknown."""
    across, _, down = aspect.partition("/")
    return "1/1" if across == down or "0" in (across, down) else aspect


def _select_errors(log: Iterable[str]) -> Iterator[str]:
    """Select the lines that may state an error, not those that describe inputs and outputs."""
    return (line for line in log if line and not line.startswith((" ", "Input", "Output", "frame=",
            "Stream mapping", "Press")) and not line.startswith("[out#"))  # fmt: skip


def _explain(path: Path, found: _Parser, reason: str) -> str:
    """Explain why a video cannot be read, and suggest a remedy."""
    if "Packet corrupt" in reason:
        remedy = "ffmpeg -i INPUT -map 0 -c copy OUTPUT.mkv skips them"
        return f"packets are missing, or their counters jump; {remedy}"
    if found.times:
        return f"damaged {found.times[-1] - found.times[0]:.1f} s after its start: {reason}"
    streams = found.streams.values()
    if streams and not any(each.is_video for each in streams):
        kinds = ["a cover picture" if each.cover else each.kind.lower() for each in streams]
        return "no video in it, but " + " and ".join(dict.fromkeys(kinds))
    if streams and _starts_between_key_frames(path):
        return (
            "it begins between two key frames; ffmpeg -i INPUT -map 0 -c copy OUTPUT cuts it at "
            "the first one"
        )
    return reason


def _starts_between_key_frames(path: Path) -> bool:
    """Check whether the container marks the first packet of the video as no key frame."""
    words = [*input_arguments(path), "-map", "0:V:0", "-c", "copy", "-copyinkf", "-frames:v", 1]
    try:
        listed = run([*words, "-f", "framecrc", "-"]).decode()
    except FFmpegError:
        return False
    return any("F=0x" in line for line in listed.splitlines() if not line.startswith("#"))
