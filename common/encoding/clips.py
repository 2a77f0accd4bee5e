"""Lossless cutting of videos into clips, and encoding of clips."""

import os
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import accumulate, chain
from pathlib import Path
from typing import IO

from ..base.errors import UserError
from ..base.temporary import is_full
from ..video.ffmpeg import (
    FFmpegError,
    enlarge,
    input_arguments,
    open_reader,
    report_unreadable,
    run,
    start,
)
from ..video.pixel_formats import choose_coded
from ..video.scenes import Scene
from ..video.selection import MOST_RANGES, find_ranges, make_filter
from .encoders import Coding
from .raw import RawVideo

# Keep every frame and its time.
_EVERY_FRAME = ("-fps_mode", "passthrough", "-enc_time_base", "demux")
_MOST_PARTS = 1000  # that one ffmpeg cuts a video into


@contextmanager
def report_failure(what: object, folder: Path) -> Iterator[None]:
    """Turn a failure of ffmpeg into a UserError, which tells whether the disk of `folder` is full.

    Args:
        what: what ffmpeg was to make.
    """
    try:
        yield
    except FFmpegError as error:
        why = f"could not be made ({error})"
        if is_full(folder):
            why = f"No space left on device in {folder.parent}"
        raise UserError(f"{what}: {why}") from None


def encode_clip(
    clip: Path | IO[bytes],
    target: Path,
    coding: Coding,
    quantizer: float,
    raw: RawVideo,
    graph: str,
    advance: Callable[[int], object] = lambda frames: None,
) -> int:
    """Encode all frames of `clip` at one CRF or QP.

    Args:
        clip: a file, or an open pipe.
        raw: the video that the clip was cut from.
        graph: ffmpeg filters to apply to the clip's frames.
        advance: called with the number of frames encoded since the last call.

    Returns:
        The number of encoded frames.

    Raises:
        FFmpegError: ffmpeg failed.
    """
    coded = choose_coded(raw.pixel_format.name, coding.encoder.library)
    path, stdin = (clip, subprocess.DEVNULL) if isinstance(clip, Path) else (None, clip)
    words = ["-progress", "pipe:1", *input_arguments(path), "-vf", graph, *_EVERY_FRAME]
    words += ["-pix_fmt", coded.name, *coding.arguments(quantizer, coded.depth, raw.mastering)]
    done = 0
    with open_reader([*words, "-f", "nut", f"file:{target}"], stdin=stdin) as progress:
        for line in progress:
            name, _, value = line.partition(b"=")
            if name == b"frame":
                advance(int(value) - done)
                done = int(value)
    return done


def packet_bytes(clip: Path) -> list[int]:
    """List the size in bytes of each coded frame of a clip, in coding order."""
    words = [*input_arguments(clip), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    lines = run(words).decode().splitlines()
    return [int(line.split(",")[4]) for line in lines if not line.startswith("#")]


def encode_scenes(
    raw: RawVideo,
    scenes: Sequence[Scene],
    quantizers: Sequence[float | None],
    coding: Coding,
    folder: Path,
    advance: Callable[[int], object],
) -> list[Path]:
    """Encode each scene as a separate stream in `folder`, decoding the video only once.

    Args:
        quantizers: CRF or QP of each scene; None: its stream stays as it is.

    Raises:
        UserError: the video cannot be read.
        FFmpegError: it cannot be encoded.
    """
    streams = [folder / f"coded{number:05d}.nut" for number in range(len(scenes))]
    rows = zip(scenes, quantizers, streams)
    wanted = [(scene, crf_or_qp, file) for scene, crf_or_qp, file in rows if crf_or_qp is not None]
    # A filter selects from so many scenes, unless it is to select all.
    most = len(scenes) if len(wanted) == len(scenes) else MOST_RANGES
    for at in range(0, len(wanted), most):
        _encode_scenes(raw, wanted[at : at + most], coding, folder, advance)
    return streams


def _encode_scenes(
    raw: RawVideo,
    rows: Sequence[tuple[Scene, float, Path]],
    coding: Coding,
    folder: Path,
    advance: Callable[[int], object],
) -> None:
    """Encode each scene at its CRF or QP into its file."""
    path, lengths = raw.video.path, [scene.frames for scene, *_ in rows]
    ranges = find_ranges(chain(*(range(scene.first, scene.end) for scene, *_ in rows)))
    select = "" if ranges == [range(raw.video.frames)] else f"{make_filter(ranges)},"
    words = ["-reinit_filter", 0, *input_arguments(path.absolute(), strict=True)]
    words += ["-map", "0:V:0", "-vf", f"{select}{raw.graph}", "-pix_fmt", raw.pixel_format.name]
    words += ["-frames:v", sum(lengths)] if select else []
    with closing(_cut(words, lengths, folder, path)) as pipes:
        for (scene, quantizer, target), pipe in zip(rows, pipes):
            with open(pipe, "rb", buffering=0) as frames:
                enlarge(frames)
                done = encode_clip(frames, target, coding, quantizer, raw, raw.tags, advance)
            if done != scene.frames:
                raise UserError(
                    f"{path}: {done} of the {scene.frames} frames from "
                    f"{scene.start_seconds:.1f} s on were read; are its timestamps in order?"
                )


def _cut(
    words: Sequence[object], lengths: Sequence[int], folder: Path, path: Path, level: int = 0
) -> Generator[Path, None, None]:
    """Yield named pipes in `folder` with raw frames, `lengths[n]` of them in pipe n.

    One ffmpeg fills the pipes in turn. If there are too many for its arguments, it cuts the video
    into portions, each of which another ffmpeg cuts into its parts.

    Args:
        words: ffmpeg's arguments for its input.

    Raises:
        UserError: the video at `path` cannot be read to its end.
    """
    portions = [[*lengths[at : at + _MOST_PARTS]] for at in range(0, len(lengths), _MOST_PARTS)]
    if len(portions) > 1:
        whole = _cut(words, [sum(portion) for portion in portions], folder, path, level + 1)
        with closing(whole):
            for pipe, portion in zip(whole, portions):
                yield from _cut(input_arguments(pipe.absolute()), portion, folder, path, level)
        return
    pipes = [folder / f"cut{level}-{number:05d}.nut" for number in range(len(lengths))]
    for pipe in pipes:
        os.mkfifo(pipe)
    cuts = ",".join(map(str, [*accumulate(lengths)][:-1])) or sum(lengths) + 1
    given = [*words, *_EVERY_FRAME, "-c:v", "rawvideo", "-f", "segment", "-segment_format", "nut"]
    # Names are relative because ffmpeg would interpret a % in a folder's name.
    given += ["-segment_frames", cuts, f"cut{level}-%05d.nut"]
    try:
        with (
            report_unreadable(path),
            start(given, cwd=folder) as decoder,
            _release_readers(pipes, decoder),
        ):
            yield from pipes
    finally:
        for pipe in pipes:
            pipe.unlink(missing_ok=True)


@contextmanager
def _release_readers(pipes: Sequence[Path], writer: subprocess.Popen) -> Iterator[None]:
    """Release readers that wait at one of the `pipes` for a `writer` that has ended."""
    over = threading.Event()

    def release() -> None:
        while not over.wait(0.2):
            for pipe in pipes if writer.poll() is not None else ():
                with suppress(OSError):
                    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))

    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
