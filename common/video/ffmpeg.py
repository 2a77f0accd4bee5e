"""The ffmpeg program: which one, how it is run, and what it says where it fails."""

import contextlib
import ctypes
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg

from ..base.errors import UserError

_PURPOSES = {"libx264": "encoding frames (x264)", "libvmaf": "measuring VMAF"}
# Demuxers of video containers and elementary streams. Playlists, manifests and file lists (DASH,
# HLS, concat ...) must stay out: an uploaded one could make us read any file that it names.
# Still pictures are read through Pillow.
DEMUXERS = (
    "mov matroska avi mpegts mpeg mpegvideo flv live_flv asf ogg mxf gxf rm wtv nut dv nsv ivf "
    "obu av1 h261 h263 h264 hevc vvc evc m4v vc1 dirac cavsvideo avs2 avs3 dnxhd mjpeg mjpeg_2000 "
    "yuv4mpegpipe gif apng webp_anim"
)
LIMITS = {"protocol_whitelist": "file,pipe,fd", "format_whitelist": DEMUXERS.replace(" ", ",")}
_QUIET = ("-hide_banner", "-nostats", "-nostdin", "-y")
_DIE_WITH_PARENT = 1  # Linux's PR_SET_PDEATHSIG
_C = ctypes.CDLL(None)
# Messages of ffmpeg that only follow from an error in an earlier line.
_CONSEQUENCES = re.compile(
    r"Error (submitting|processing|while|opening|parsing|initializing|sending|reinitializing)"
    r"|Decoding error|Task finished|Terminating thread|Could not open encoder|Nothing was written"
    r"|Conversion failed|Failed to set value|To ignore this|concealing|Last message repeated"
    r"|Error while|mmco: unref|no frame!|decode_slice_header|Impossible to open"
)


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
    options: dict[str, Any] = {"framerate": framerate} if framerate else {}
    # The protocol is named, so that no file name can be taken for another one (concat:, http:).
    # ffmpeg-python wants text, and file names are bytes: `command` makes them bytes again.
    name = os.fsencode(path).decode("latin-1")
    options |= {"err_detect": "explode", "threads": 1, "reinit_filter": 0, **LIMITS}
    return ffmpeg.input(f"file:{name}", **options)["v:0"]


def command(graph, needs: str | None = None, loglevel: str = "error") -> list[str | bytes]:
    """What to run for a graph that ends in an output; any error in its input ends it."""
    graph = graph.global_args("-hide_banner", "-nostats", "-loglevel", loglevel, "-xerror")
    return [binary(needs), *(word.encode("latin-1") for word in ffmpeg.get_args(graph))]


def source(path: Path) -> list[str]:
    """Arguments that make a file an input of ffmpeg, which may read it as a video only."""
    limits = [word for name, value in LIMITS.items() for word in (f"-{name}", value)]
    return [*limits, "-i", f"file:{path}"]


def run(command: list, data: bytes = b"", passed: tuple[int, ...] = ()):
    """Run a command of ffmpeg to its end, with `data` as its input and these descriptors open.

    Returns:
        The result of `subprocess.run`.

    Raises:
        RuntimeError: ffmpeg failed; the message is its reason.
    """
    done = subprocess.run(command, input=data, capture_output=True, pass_fds=passed)
    if done.returncode:
        raise RuntimeError(reason(done.stderr) or f"ffmpeg ended with {done.returncode}")
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


@contextlib.contextmanager
def running(
    words: Sequence[object], loglevel: str = "error", **pipes: Any
) -> Iterator[subprocess.Popen]:
    """Run ffmpeg with these arguments; it is killed if the block ends early or this process dies.

    Raises:
        RuntimeError: it failed; the message is its reason, unless `pipes` take its stderr.
    """
    given = [os.fsencode(str(word)) for word in words]
    command: list[str | bytes] = [binary("libvmaf"), *_QUIET, "-loglevel", loglevel, *given]
    with unnamed() as errors:
        pipes = {"stdin": subprocess.DEVNULL, "stderr": errors, **pipes}
        with subprocess.Popen(command, preexec_fn=_die_with_parent, **pipes) as process:
            try:
                yield process
                if process.stdin:
                    with contextlib.suppress(BrokenPipeError):  # its own error follows
                        process.stdin.close()
                process.wait()
            finally:
                process.kill()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(reason(errors.read()) or f"ended with {process.returncode}")


def _die_with_parent() -> None:
    # ffmpeg ends with this process, even if that is killed by SIGKILL.
    with contextlib.suppress(AttributeError):
        _C.prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def reason(said: bytes) -> str:
    """Find why ffmpeg failed: the first line of its output that does not follow from another.

    Names and addresses of components, such as [h264 @ 0x55...], are removed.
    """
    lines = [
        re.sub(r"\[[^\]]*\] ?", "", line).strip()
        for line in said.decode(errors="replace").splitlines()
    ]
    lines = [line for line in lines if line]
    if any("Format not on whitelist" in line or "misdetection" in line for line in lines):
        return "its content is that of no video"
    causes = [line for line in lines if not _CONSEQUENCES.match(line)]
    return (causes or lines or [""])[0]


def unnamed(data: bytes = b"") -> IO[bytes]:
    """An open file without a name, so that nothing is left behind however the program ends."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(data)
    file.seek(0)
    return file
