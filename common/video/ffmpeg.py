"""The ffmpeg program: the choice of one, its runs, and its errors."""

import contextlib
import fcntl
import functools
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import ffmpeg
import imageio_ffmpeg

from ..base.errors import UserError, explain
from ..base.parallel import register_child

# An option that ffmpeg has since 5.1, the oldest version supported here.
_OPTION = "fps_mode"
_PURPOSES = {"libx264": "encoding frames (x264)", "libvmaf": "measuring VMAF"}
# Demuxers of video containers and elementary streams. Playlists, manifests and file lists (DASH,
# HLS, concat ...) are left out: an uploaded one could make us read any file that it names.
# Still pictures are read through Pillow.
_DEMUXERS = (
    "mov matroska avi mpegts mpeg mpegvideo flv live_flv asf ogg mxf gxf rm wtv nut dv nsv ivf "
    "obu av1 h261 h263 h264 hevc vvc evc m4v vc1 dirac cavsvideo avs2 avs3 dnxhd mjpeg mjpeg_2000 "
    "yuv4mpegpipe gif apng webp_anim"
)
_LIMITS = {"protocol_whitelist": "file,pipe,fd", "format_whitelist": _DEMUXERS.replace(" ", ",")}
_QUIET = ("-hide_banner", "-nostats", "-nostdin", "-y")
# Messages of ffmpeg that are mere consequences of an error in an earlier line.
_CONSEQUENCES = re.compile(
    r"Error (submitting|processing|while|opening|parsing|initializing|sending|reinitializing)"
    r"|Decoding error|Task finished|Terminating thread|Could not open encoder|Nothing was written"
    r"|Conversion failed|Failed to set value|To ignore this|concealing|Last message repeated"
    r"|Error while|mmco: unref|no frame!|decode_slice_header|Impossible to open"
)


class FFmpegError(RuntimeError):
    """ffmpeg failed; the message is its reason."""


@functools.cache
def binary(needs: str | None = None) -> str:
    """Find the ffmpeg to use: one with x264 (`libx264`) or VMAF (`libvmaf`) if that is needed.

    If IMAGEIO_FFMPEG_EXE is set, it names the ffmpeg; otherwise the system's is used if it has
    both and is new enough, or else the one that comes with imageio-ffmpeg.

    Raises:
        UserError: there is none, it is too old, or it lacks what is needed.
    """
    system = shutil.which("ffmpeg")
    if system and "IMAGEIO_FFMPEG_EXE" not in os.environ and not find_missing(system):
        return system
    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        if not system:
            raise UserError("no ffmpeg found: pip install imageio-ffmpeg brings one") from None
        path = system
    missing = find_missing(path)  # also checks that it runs
    if _OPTION in missing:
        newer = "pip install --upgrade imageio-ffmpeg brings a newer one"
        if "IMAGEIO_FFMPEG_EXE" in os.environ:
            newer = "let IMAGEIO_FFMPEG_EXE name a newer one, or unset it"
        raise UserError(f"{path} is older than ffmpeg 5.1: {newer}")
    if needs and needs in missing:
        raise UserError(
            f"{path} was built without {needs}, which {_PURPOSES[needs]} needs: "
            "pip install imageio-ffmpeg brings an ffmpeg that has it"
        )
    return path


@functools.cache
def find_missing(path: str) -> tuple[str, ...]:
    """Find which of x264, VMAF and an option of version 5.1 an ffmpeg does not have."""
    found = {"libx264": "-encoders", "libvmaf": "-filters", _OPTION: "-h long"}
    try:
        return tuple(
            name
            for name, listing in found.items()
            if not re.search(rf"[ -]{name}\b", run(listing.split(), program=path).decode())
        )
    except (OSError, FFmpegError) as error:
        raise UserError(f"{path}: does not run as ffmpeg ({explain(error)})") from None


def check_encoder(library: str) -> None:
    """Check that the ffmpeg in use has an encoder, such as libx265.

    Raises:
        UserError: it was built without it.
    """
    if f" {library} " not in run(["-encoders"]).decode():
        raise UserError(f"{binary()} was built without {library}: choose another --encoder")


def input_arguments(path: Path | None, strict: bool = False) -> list[object]:
    """Make the arguments that open a file as a video, and as nothing else.

    Args:
        path: None: its stdin.
        strict: stop at the first error in the file.
    """
    words: list[object] = ["-err_detect", "explode", "-xerror"] if strict else []
    words += [word for name, value in _LIMITS.items() for word in (f"-{name}", value)]
    # With the protocol stated, no file name can be taken for one (concat:, http:).
    return [*words, "-i", f"file:{path}" if path else "pipe:0"]


def input_graph(path: Path, framerate: int | None = None):
    """Open a file's video for an ffmpeg-python graph that fails at the first damage."""
    options: dict[str, Any] = {"framerate": framerate} if framerate else {}
    # ffmpeg-python needs text, but file names are bytes: `graph_arguments` converts them back.
    name = os.fsencode(path).decode("latin-1")
    options |= {"err_detect": "explode", "threads": 1, "reinit_filter": 0, **_LIMITS}
    return ffmpeg.input(f"file:{name}", **options)["v:0"]


def graph_arguments(graph) -> list[object]:
    """Make the arguments for an ffmpeg-python graph that ends in an output."""
    return ["-xerror", *(word.encode("latin-1") for word in ffmpeg.get_args(graph))]


@contextlib.contextmanager
def start(
    words: Sequence[object],
    loglevel: str = "error",
    needs: str | None = None,
    *,
    program: str | None = None,
    errors: IO[bytes] | None = None,
    **pipes: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ffmpeg with these arguments; kill it if the block ends early or this process dies.

    The latter needs Linux and util-linux.

    Args:
        needs: argument of `binary`, which finds the program unless `program` is given.
        errors: an open file for ffmpeg's messages.
        pipes: further arguments of `subprocess.Popen`.

    Raises:
        FFmpegError: it failed; the message is the reason, unless `pipes` take its stderr.
    """
    command = [*_guard(), program or binary(needs), *_QUIET, "-loglevel", loglevel, *words]
    given = [word if isinstance(word, bytes) else os.fsencode(str(word)) for word in command]
    with contextlib.ExitStack() as stack:
        errors = errors or stack.enter_context(unnamed_file())
        pipes = {"stdin": subprocess.DEVNULL, "stderr": errors, **pipes}
        process: subprocess.Popen[bytes] = stack.enter_context(subprocess.Popen(given, **pipes))
        stack.enter_context(register_child(process))
        # Registered last and so run first: a reader that stops early must not wait for ffmpeg.
        stack.callback(process.kill)
        broken = None
        try:
            yield process
        except BrokenPipeError as error:
            if not process.stdin:
                raise
            broken = error  # ffmpeg's own error follows
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        if process.wait():
            errors.seek(0)
            raise FFmpegError(find_reason(errors.read()) or f"ended with {process.returncode}")
        if broken:
            raise FFmpegError("it ended before it had read all frames") from broken


@functools.cache
def _guard() -> list[str]:
    """Find the program that starts another and has the kernel kill it when this process dies.

    Linux does so already when the thread dies that started it, so a pool of threads must outlive
    the programs that its threads start.

    A `preexec_fn` could do the same, but Python would then copy the page tables of this process,
    which takes 17 ms each time if a model is loaded.
    """
    setpriv = ["setpriv", "--pdeathsig", "KILL", "--"]  # of util-linux
    with contextlib.suppress(OSError):
        if not subprocess.run([*setpriv, "true"], capture_output=True).returncode:
            return setpriv
    return []


@contextlib.contextmanager
def open_reader(
    words: Sequence[object], stream: str = "stdout", **options: Any
) -> Iterator[io.BufferedReader]:
    """Run ffmpeg, and read what it writes to its `stream`: stdout or stderr. See `start`."""
    with start(words, **{**options, stream: subprocess.PIPE}) as process:
        yield getattr(process, stream)


@contextlib.contextmanager
def open_writer(words: Sequence[object], **options: Any) -> Iterator[io.BufferedWriter]:
    """Run ffmpeg, and write what it reads from its stdin. See `start`."""
    with start(words, **{**options, "stdin": subprocess.PIPE}) as process:
        yield cast(io.BufferedWriter, process.stdin)


def run(words: Sequence[object], data: bytes = b"", **options: Any) -> bytes:
    """Run ffmpeg to its end with `data` as its input; return what it writes. See `start`."""
    with unnamed_file(data) as file, open_reader(words, stdin=file, **options) as output:
        return output.read()


@contextlib.contextmanager
def report_unreadable(name: object) -> Iterator[None]:
    """Turn a failure of ffmpeg into a UserError: the file `name` cannot be read as a video."""
    try:
        yield
    except FFmpegError as error:
        raise UserError(f"{name}: cannot be read as a video ({error})") from None


def find_reason(log: bytes) -> str:
    """Find why ffmpeg failed: the first line of its log that is not a consequence of another.

    Names and addresses of components, such as [h264 @ 0x55...], are removed.
    """
    lines = [
        re.sub(r"\[[^\]]*\] ?", "", line).strip()
        for line in log.decode(errors="replace").splitlines()
    ]
    lines = [line for line in lines if line]
    if any("Format not on whitelist" in line or "misdetection" in line for line in lines):
        return "its content is not that of a video"
    causes = [line for line in lines if not _CONSEQUENCES.match(line)]
    return (causes or lines or [""])[0]


def enlarge(pipe: IO[bytes]) -> None:
    """Have a pipe hold a MiB, Linux's limit for users, so that frames take fewer reads."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 2**20)


def unnamed_file(data: bytes = b"") -> IO[bytes]:
    """Open a temporary file without a name, so that a killed program leaves nothing behind."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.write(data)
    file.seek(0)
    return file
