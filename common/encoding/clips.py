"""Parts of videos: taken out without loss, encoded, measured, and joined."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from common.codecs.ffmpeg import binary, last_line, unnamed
from common.codecs.h264 import STILL
from common.encoding.encoders import Encoder
from common.errors import UserError
from common.prediction.scenes import Scene

# Every frame of the input is one of the output's, shown at the same time.
_EVERY_FRAME = ("-fps_mode", "passthrough", "-enc_time_base", "demux")
_QUIET = ("-hide_banner", "-nostats", "-loglevel", "error", "-y")
_DIE = 1  # PR_SET_PDEATHSIG of Linux
_C = ctypes.CDLL(None)
# 4:2:0 has a colour for each 2x2 pixels; where a side is odd, its last line is left out.
EVEN = "crop=trunc(iw/2)*2:trunc(ih/2)*2"
# Between programs all is called limited range, so that none converts; `Look` says what it is.
_RAW = f"setparams=range=tv,{EVEN}"
_STILL = STILL.replace(":", r"\\:")  # within a graph that is written out
WINDOW = 12  # frames that a scene is tried on


def _ended_with_us() -> None:
    # However this process ends, by SIGKILL too, what it started ends.
    with contextlib.suppress(AttributeError):
        _C.prctl(_DIE, signal.SIGKILL)


@contextlib.contextmanager
def _running(words: Sequence[object], **pipes: Any) -> Iterator[subprocess.Popen]:
    """An ffmpeg with these arguments; it is killed where the block ends early.

    Raises:
        RuntimeError: it failed; with its last line.
    """
    given = [os.fsencode(str(word)) for word in words]
    command: list[str | bytes] = [binary("libvmaf"), *_QUIET, *given]
    with unnamed() as errors:
        pipes = {"stdin": subprocess.DEVNULL, "stderr": errors, **pipes}
        with subprocess.Popen(command, preexec_fn=_ended_with_us, **pipes) as process:
            try:
                yield process
                process.wait()
            finally:
                process.kill()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(last_line(errors.read()) or f"ended with {process.returncode}")


class Look(NamedTuple):
    """What streams made of raw frames must be told of the video."""

    depth: int  # bits per colour
    colours: str  # ffmpeg's filter that says what they are
    start: float  # seconds from the file's start, which may be sound's, to the first frame


def look_at(path: Path) -> Look:
    """Raises:
    UserError: the file cannot be read as a video, or is interlaced.
    """
    words = ("-loglevel", "info", "-i", source(path), "-map", "0:v:0", "-vf", "showinfo")
    with unnamed() as log:
        try:
            with _running([*words, "-frames:v", 1, "-f", "null", "-"], stderr=log):
                pass
        except RuntimeError as error:
            raise UserError(f"{path}: cannot be read as a video ({error})") from None
        log.seek(0)
        text = log.read().decode(errors="replace")
    frame = re.search(r" pts_time:(\S+) .* fmt:(\S+) .* i:(\S) ", text)
    if not frame:
        raise UserError(f"{path}: cannot be read as a video (no frames in it)")
    if frame[3] in "TB":
        raise UserError(
            f"{path}: is interlaced; make it progressive first: ffmpeg -i INPUT -vf bwdif OUTPUT"
        )
    depth = re.search(r"p(\d\d)(le|be)$", frame[2])
    names = {"range": "color_range", "colorspace": "color_space"}
    names |= {name: name for name in ("color_primaries", "color_trc")}
    fields = {name: re.search(rf" {shown}:(\S+)", text) for name, shown in names.items()}
    kept = [
        f"{name}={match[1]}" for name, match in fields.items() if match and match[1] != "unknown"
    ]
    colours = "setparams=" + ":".join(kept) if kept else "null"
    return Look(int(depth[1]) if depth else 8, colours, float(frame[1]))


def ffmpeg(words: Sequence[object]) -> None:
    """Run it with these arguments.

    Raises:
        RuntimeError: it failed.
    """
    with _running(words):
        pass


def source(path: Path) -> str:
    """A file as ffmpeg's argument, so that no name is taken for a protocol."""
    return f"file:{path}"


def windows(
    path: Path, scenes: Sequence[Scene], folder: Path, length: int | None = WINDOW
) -> Iterator[Path]:
    """Up to `length` frames (None: all) from the middle of each scene, raw, a file in turn.

    Each is gone when the next one is asked for: together they would fill a disk.

    Raises:
        UserError: the video cannot be read.
    """
    chosen, lengths = [], []
    for scene in scenes:
        count = min(length or scene.end, scene.end - scene.first)
        first = scene.first + (scene.end - scene.first - count) // 2
        chosen.append(f"between(n,{first},{first + count - 1})")
        lengths.append(count)
    with _decoded(path, f"select='{'+'.join(chosen)}',{_RAW}", lengths, folder) as pipes:
        for number, pipe in enumerate(pipes):
            part = folder / f"window{number}.nut"
            with pipe.open("rb") as frames, part.open("wb") as file:
                shutil.copyfileobj(frames, file)
            yield part
            part.unlink()


@contextlib.contextmanager
def _decoded(path: Path, graph: str, lengths: Sequence[int], folder: Path) -> Iterator[list[Path]]:
    """Named pipes in `folder`, out of which raw frames of a video come.

    The first `lengths[0]` of those that `graph` lets through come out of the first pipe, and so on:
    the decoder opens each as it comes to it. The video is decoded once.

    Raises:
        UserError: it cannot be read to its end.
    """
    pipes = [folder / f"part{number:05d}.nut" for number in range(len(lengths))]
    for pipe in pipes:
        os.mkfifo(pipe)
    cuts = ",".join(map(str, [*accumulate(lengths)][:-1])) or sum(lengths) + 1
    words = ["-err_detect", "explode", "-xerror", "-i", source(path), "-map", "0:v:0", "-vf", graph]
    words += [*_EVERY_FRAME, "-c:v", "rawvideo", "-f", "segment", "-segment_format", "nut"]
    try:
        running = _running([*words, "-segment_frames", cuts, folder / "part%05d.nut"])
        with running as decoder, _released(pipes, decoder):
            yield pipes
    except RuntimeError as error:
        raise UserError(f"{path}: cannot be read as a video ({error})") from None
    finally:
        for pipe in pipes:
            pipe.unlink(missing_ok=True)


def encode_clip(
    clip: Path,
    target: Path,
    encoder: Encoder,
    qp: int,
    look: Look,
    told: Callable[[int], None] | None = None,
) -> None:
    """Encode all frames of `clip` at a constant QP; `told` hears how many frames are done.

    Raises:
        RuntimeError: ffmpeg failed.
    """
    options = encoder.options(qp, look.depth).items()
    words = ["-progress", "pipe:1", "-i", source(clip), "-vf", look.colours, *_EVERY_FRAME]
    words += [
        "-c:v",
        encoder.library,
        *(word for name, value in options for word in (f"-{name}", value)),
    ]
    words += ["-f", "nut", source(target)]
    with _running(words, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            name, _, value = line.partition(b"=")
            if told and name == b"frame":
                told(int(value))


def packet_bytes(clip: Path) -> list[int]:
    """Bytes of each coded frame of a clip, in the order they are coded in."""
    words = ["-i", source(clip), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    with _running(words, stdout=subprocess.PIPE) as process:
        lines = process.stdout.read().decode().splitlines()
    return [int(line.split(",")[4]) for line in lines if not line.startswith("#")]


def vmaf_of_frames(made: Path, original: Path, count: int) -> list[float]:
    """VMAF of each of `made`'s `count` frames beside those of `original`, in 8-bit 4:2:0.

    As labels have it, of each frame by itself: the motion that lets VMAF forgive more is zero.

    Raises:
        RuntimeError: ffmpeg failed, or there is another number of frames.
    """
    pair = ";".join(
        f"[{number}:v:0]settb=1/1000,setpts=N,{_RAW},format=yuv420p[{name}]"
        for number, name in enumerate("ab")
    )
    options = f"log_fmt=json:log_path=/dev/stdout:n_threads={os.cpu_count()}"
    measured = f"[a][b]libvmaf={options}:model={_STILL}"
    words = ["-i", source(made), "-i", source(original), "-lavfi", f"{pair};{measured}"]
    with _running([*words, "-f", "null", "-"], stdout=subprocess.PIPE) as process:
        log = process.stdout.read()
    frames = json.loads(log)["frames"]
    if len(frames) != count:
        raise RuntimeError(f"{len(frames)} frames in place of {count}")
    return [frame["metrics"]["vmaf"] for frame in frames]


def _further(told: Callable[[int], object], first: int, done: int) -> None:
    told(first + done)


def encode_scenes(
    path: Path,
    scenes: Sequence[Scene],
    qps: Sequence[int],
    encoder: Encoder,
    look: Look,
    folder: Path,
    told: Callable[[int], object],
) -> list[Path]:
    """Each scene as a stream of its own in `folder`.

    Raises:
        UserError: the video cannot be read, or encoded.
    """
    lengths = [scene.end - scene.first for scene in scenes]
    streams = [folder / f"coded{number:05d}.nut" for number in range(len(scenes))]
    with _decoded(path, _RAW, lengths, folder) as pipes:
        for scene, qp, pipe, target in zip(scenes, qps, pipes, streams):
            further = functools.partial(_further, told, scene.first)
            encode_clip(pipe, target, encoder, qp, look, further)
    return streams


@contextlib.contextmanager
def _released(pipes: Sequence[Path], writer: subprocess.Popen) -> Iterator[None]:
    """Whoever waits for the `writer` at one of the `pipes` waits no more once that has ended."""
    over = threading.Event()

    def release() -> None:
        while not over.wait(0.2):
            for pipe in pipes if writer.poll() is not None else ():
                with contextlib.suppress(OSError):
                    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))

    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def join(
    path: Path, parts: Sequence[Path], scenes: Sequence[Scene], start: float, target: Path
) -> None:
    """The `parts` in a row from `start` (s) on, and all else that `path` holds, as `target`.

    Raises:
        RuntimeError: what `path` holds besides does not go into such a file.
    """
    lines = ["ffconcat version 1.0"]
    for part, scene in zip(parts, scenes):
        lines += [f"file {part.name}", f"duration {scene.end_seconds - scene.start_seconds:.9f}"]
    listed = parts[0].with_name("parts.txt")
    listed.write_text("\n".join(lines))
    inputs = ("-itsoffset", start, "-f", "concat", "-i", listed, "-i", source(path))
    taken = ("-map", "0:v:0", "-map", "1", "-map", "-1:v:0", "-map", "-1:d?")
    kept = ("-map_metadata", 1, "-map_chapters", 1, "-map_metadata:s:v:0", "1:s:v:0")
    with _running([*inputs, *taken, *kept, "-c", "copy", "-copy_unknown", source(target)]):
        pass
