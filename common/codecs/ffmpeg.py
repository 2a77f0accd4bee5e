"""The ffmpeg program: which one, how it is run, and what it says where it fails."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import ffmpeg
import imageio_ffmpeg

from common.errors import UserError

_PURPOSES = {"libx264": "encoding frames (x264)", "libvmaf": "measuring VMAF"}


@functools.cache
def binary(needs: str | None = None) -> str:
    """Path of the ffmpeg to use, with x264 (`libx264`) or VMAF (`libvmaf`) where that is needed.

    The one that IMAGEIO_FFMPEG_EXE names where it is set; else the system's, if it can do both;
    else the one that comes with imageio-ffmpeg.

    Raises:
        UserError: there is none, or it lacks what is needed.
    """
    system = shutil.which("ffmpeg")
    if system and "IMAGEIO_FFMPEG_EXE" not in os.environ and not lacking(system):
        return system
    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        if not system:
            raise UserError("no ffmpeg found: pip install imageio-ffmpeg brings one") from None
        path = system
    if needs in lacking(path):
        raise UserError(
            f"{path} was built without {needs}, which {_PURPOSES[needs]} needs: "
            "pip install imageio-ffmpeg brings an ffmpeg that has it"
        )
    return path


@functools.cache
def lacking(path: str) -> tuple[str, ...]:
    """Which of x264 and VMAF an ffmpeg was built without."""
    try:
        encoders = run([path, "-hide_banner", "-encoders"]).stdout
        filters = run([path, "-hide_banner", "-filters"]).stdout
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: does not run as ffmpeg ({error})") from None
    has = {"libx264": b" libx264 " in encoders, "libvmaf": b" libvmaf " in filters}
    return tuple(name for name, there in has.items() if not there)


def opened(path: Path, framerate: int | None = None):
    """The pictures of a file, for a graph: no sound, and an error where a packet is damaged."""
    options = {"framerate": framerate} if framerate else {}
    # The protocol is named, so that no file name can be taken for another one (concat:, http:).
    # ffmpeg-python wants text, and file names are bytes: `command` makes them bytes again.
    name = os.fsencode(path).decode("latin-1")
    return ffmpeg.input(f"file:{name}", err_detect="explode", threads=1, **options)["v:0"]


def command(graph, needs: str | None = None, loglevel: str = "error") -> list[str | bytes]:
    """What to run for a graph that ends in an output; any error in its input ends it."""
    graph = graph.global_args("-hide_banner", "-nostats", "-loglevel", loglevel, "-xerror")
    return [binary(needs), *(word.encode("latin-1") for word in ffmpeg.get_args(graph))]


def run(command: list, data: bytes = b"", passed: tuple[int, ...] = ()):
    """Run to the end, with `data` on its input and these descriptors open: as `subprocess.run`.

    Raises:
        RuntimeError: ffmpeg failed; with its last line.
    """
    done = subprocess.run(command, input=data, capture_output=True, pass_fds=passed)
    if done.returncode:
        raise RuntimeError(last_line(done.stderr) or f"ffmpeg ended with {done.returncode}")
    return done


def output(graph, data: bytes = b"", needs: str | None = None, source: Path | None = None) -> bytes:
    """What ffmpeg writes to its pipe for a graph.

    Raises:
        UserError: it cannot read the file `source`.
        RuntimeError: it failed at something else.
    """
    try:
        return run(command(graph, needs), data).stdout
    except RuntimeError as error:
        if source is None:
            raise
        raise UserError(f"{source}: cannot be read as a video ({error})") from None


def last_line(said: bytes) -> str:
    """The last line that ffmpeg said, without the names and addresses of its parts."""
    lines = said.decode(errors="replace").strip().splitlines()
    return re.sub(r"\[[^\]]*\] ?", "", lines[-1]).strip() if lines else ""  # [h264 @ 0x55...]


def unnamed(data: bytes = b"") -> IO[bytes]:
    """An open file without a name, so that nothing is left behind however the program ends."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(data)
    file.seek(0)
    return file
