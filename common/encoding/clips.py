"""Parts of videos: taken out without loss, encoded, and measured."""

import contextlib
import functools
import json
import os
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import accumulate, chain, repeat
from pathlib import Path

from ..base.errors import UserError
from ..video.ffmpeg import running, source
from ..video.frames import read_raw
from ..video.h264 import STILL
from ..video.pixel_formats import choose_coded
from ..video.scenes import Scene
from .encoders import Encoder
from .raw import RawVideo

# Every frame of the input is one of the output's, shown at the same time.
_EVERY_FRAME = ("-fps_mode", "passthrough", "-enc_time_base", "demux")
_WHOLE = ("-err_detect", "explode", "-xerror", "-reinit_filter", 0)
_STILL = STILL.replace(":", r"\\:")  # within a graph that is written out
WINDOW = 12  # frames that a scene is tried on
# libvmaf crashes on some pictures with a side of fewer pixels.
LEAST_MEASURED = 32
_MOST_PARTS = 1000  # parts that one ffmpeg cuts a video into


def windows(
    raw: RawVideo, scenes: Sequence[Scene], folder: Path, length: int | None = WINDOW
) -> Iterator[Path]:
    """Up to `length` frames (None: all) from the middle of each scene, raw, a file in turn.

    Each is gone when the next one is asked for: together they would fill a disk.

    Raises:
        UserError: the video cannot be read.
    """
    numbers = [scene.middle(length or scene.end) for scene in scenes]
    graph = ["-vf", raw.graph, "-pix_fmt", raw.pixel_format.name]
    frames = read_raw(raw.video, graph, repeat(raw.frame_bytes), [*chain(*numbers)])
    part = folder / "window.nut"
    size = f"{raw.width}x{raw.height}"
    words = ["-f", "rawvideo", "-pix_fmt", raw.pixel_format.name, "-s", size, "-i", "pipe:0"]
    for of_scene in numbers:
        with running([*words, "-c", "copy", "-f", "nut", part], stdin=subprocess.PIPE) as process:
            for _ in of_scene:
                process.stdin.write(next(frames)[1])
        yield part
        part.unlink()


def encode_clip(
    clip: Path,
    target: Path,
    encoder: Encoder,
    qp: int,
    raw: RawVideo,
    graph: str,
    tell: Callable[[int], None] | None = None,
) -> int:
    """Encode all frames of `clip` at a constant QP, calling `tell` with the number of frames done.

    Args:
        raw: the video that the clip was cut from.
        graph: ffmpeg filters still to be applied to the clip's frames.

    Returns:
        How many frames were encoded.

    Raises:
        RuntimeError: ffmpeg failed.
    """
    coded = choose_coded(raw.pixel_format.name, encoder.library)
    options = encoder.options(qp, coded.depth, raw.mastering).items()
    words = ["-progress", "pipe:1", *source(clip), "-vf", graph, *_EVERY_FRAME]
    words += ["-pix_fmt", coded.name, "-c:v", encoder.library]
    words += [word for name, value in options for word in (f"-{name}", value)]
    with running([*words, "-f", "nut", f"file:{target}"], stdout=subprocess.PIPE) as process:
        done = 0
        for line in process.stdout:
            name, _, value = line.partition(b"=")
            if name == b"frame":
                done = int(value)
                if tell:
                    tell(done)
    return done


def packet_bytes(clip: Path) -> list[int]:
    """Bytes of each coded frame of a clip, in the order they are coded in."""
    words = [*source(clip), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    with running(words, stdout=subprocess.PIPE) as process:
        lines = process.stdout.read().decode().splitlines()
    return [int(line.split(",")[4]) for line in lines if not line.startswith("#")]


def vmaf_of_frames(made: Path, original: Path, count: int, raw: RawVideo | None) -> list[float]:
    """VMAF of each of the `count` frames of `made` against those of `original`, in 8-bit 4:2:0.

    Each frame is scored as a still, like the labels: VMAF's motion feature, which raises the
    scores of moving pictures, is forced to zero.

    Args:
        raw: the video in the file `original`; None if that contains raw frames already.

    Raises:
        RuntimeError: ffmpeg failed, or the number of frames is not `count`.
    """
    each = "settb=1/1000,setpts=N,setparams=range=tv"
    graph = raw.graph if raw else "null"
    pair = f"[0:V:0]{each},format=yuv420p[a];[1:V:0]settb=1/1000,setpts=N,{graph},{each}"
    options = f"log_fmt=json:log_path=/dev/stdout:n_threads={os.cpu_count()}"
    measured = f"{pair},format=yuv420p[b];[a][b]libvmaf={options}:model={_STILL}"
    words = ["-reinit_filter", 0, *source(made), "-reinit_filter", 0, *source(original)]
    words += ["-lavfi", measured, "-f", "null", "-"]
    with running(words, stdout=subprocess.PIPE) as process:
        log = process.stdout.read()
    frames = json.loads(log)["frames"]
    if len(frames) != count:
        raise RuntimeError(f"{len(frames)} frames in place of {count}")
    return [frame["metrics"]["vmaf"] for frame in frames]


def encode_scenes(
    raw: RawVideo,
    scenes: Sequence[Scene],
    qps: Sequence[int],
    encoder: Encoder,
    folder: Path,
    tell: Callable[[int], object],
) -> list[Path]:
    """Encode each scene as a separate stream in `folder`, decoding the video only once.

    Raises:
        UserError: the video cannot be read.
        RuntimeError: it cannot be encoded.
    """
    lengths = [scene.end - scene.first for scene in scenes]
    streams = [folder / f"coded{number:05d}.nut" for number in range(len(scenes))]
    given = [*_WHOLE, *source(raw.video.path.absolute()), "-map", "0:V:0", "-vf", raw.graph]
    given += ["-pix_fmt", raw.pixel_format.name]
    with contextlib.closing(_cut(given, lengths, folder, raw.video.path)) as pipes:
        for scene, qp, pipe, target in zip(scenes, qps, pipes, streams):
            further = functools.partial(_tell_further, tell, scene.first)
            done = encode_clip(pipe, target, encoder, qp, raw, raw.tags, further)
            if done != scene.end - scene.first:
                raise UserError(
                    f"{raw.video.path}: {done} of the {scene.end - scene.first} frames from "
                    f"{scene.start_seconds:.1f} s on came through; are its timestamps in order?"
                )
    return streams


def _tell_further(tell: Callable[[int], object], first: int, done: int) -> None:
    tell(first + done)


def _cut(
    words: Sequence[object], lengths: Sequence[int], folder: Path, path: Path, level: int = 0
) -> Generator[Path, None, None]:
    """Yield named pipes in `folder` with raw frames: the first has `lengths[0]`, and so on.

    One ffmpeg fills the pipes in turn. If there are more than its arguments can hold, it cuts the
    video into portions, and another ffmpeg cuts each portion into its parts.

    Args:
        words: arguments of ffmpeg for its input.

    Raises:
        UserError: the video at `path` cannot be read to its end.
    """
    portions = [[*lengths[at : at + _MOST_PARTS]] for at in range(0, len(lengths), _MOST_PARTS)]
    if len(portions) > 1:
        whole = _cut(words, [sum(portion) for portion in portions], folder, path, level + 1)
        with contextlib.closing(whole):
            for pipe, portion in zip(whole, portions):
                yield from _cut(source(pipe.absolute()), portion, folder, path, level)
        return
    pipes = [folder / f"cut{level}-{number:05d}.nut" for number in range(len(lengths))]
    for pipe in pipes:
        os.mkfifo(pipe)
    cuts = ",".join(map(str, [*accumulate(lengths)][:-1])) or sum(lengths) + 1
    given = [*words, *_EVERY_FRAME, "-c:v", "rawvideo", "-f", "segment", "-segment_format", "nut"]
    try:
        # The names are relative because ffmpeg would read a % in a folder's name as a pattern.
        with (
            running(
                [*given, "-segment_frames", cuts, f"cut{level}-%05d.nut"], cwd=folder
            ) as decoder,
            _released(pipes, decoder),
        ):
            yield from pipes
    except RuntimeError as error:
        raise UserError(f"{path}: cannot be read as a video ({error})") from None
    finally:
        for pipe in pipes:
            pipe.unlink(missing_ok=True)


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
