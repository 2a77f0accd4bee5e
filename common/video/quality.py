"""PSNR, SSIM and VMAF of frames and of videos.

Frames are compared in 4:2:0. PSNR (dB), SSIM and VMAF are those of luma; VMAF uses libvmaf's
default model. Even in a video, each frame is scored as a still: VMAF's motion feature, which raises
the scores of moving pictures, is forced to zero.
"""

import functools
import itertools
import json
import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import ffmpeg
import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.errors import UserError
from .ffmpeg import FFmpegError, binary, graph_arguments, input_arguments, run, start, unnamed_file
from .h264 import ffmpeg_version, repeat_frames, stream_input, x264_version, yuv_input
from .pixel_formats import UNTAG_ALL
from .selection import MOST_RANGES, find_ranges, make_filter

VMAF, VMAF_NEG = "vmaf_v0.6.1", "vmaf_v0.6.1neg"  # models of libvmaf
# VMAF and its features, as libvmaf names them: a measure of detail (ADM) and visual information
# fidelity (VIF) at four scales.
FEATURES = ("vmaf", "integer_adm2", *(f"integer_vif_scale{scale}" for scale in range(4)))
LEAST_SIDE = 32  # pixels; libvmaf crashes on some smaller pictures
_LOG = {"log_fmt": "json", "log_path": "/dev/stdout"}
# Patterns of the scores that ffmpeg's filters print at the end of a run.
_SCORES = {"psnr": r"PSNR y:(\S+)", "ssim": r"SSIM Y:(\S+)", "vmaf": r"VMAF score: (\S+)"}


def measure(
    reference: np.ndarray, distorted: np.ndarray | bytes, metrics: Collection[str] = tuple(_SCORES)
) -> dict[str, float]:
    """Measure PSNR (dB, inf if equal), SSIM (up to 1) and VMAF (up to 100) of a frame.

    Args:
        reference: RGB, uint8 [height, width, 3].
        distorted: a frame of the same size, or its H.264 stream, as from `h264.encode`.
    """
    data = distorted if isinstance(distorted, bytes) else distorted.tobytes()
    with (
        unnamed_file(data) as file,
        unnamed_file(reference.tobytes()) as frame,
        unnamed_file() as messages,
    ):
        path, fds = f"/dev/fd/{file.fileno()}", (file.fileno(),)
        compared = (
            stream_input(path) if isinstance(distorted, bytes) else yuv_input(distorted, path)
        )
        compared = compared.filter("setpts", "PTS-STARTPTS")
        references = yuv_input(reference).filter_multi_output("split", len(metrics))
        # Each metric filter passes its first input on to the next one.
        for number, metric in enumerate(metrics):
            name = "libvmaf" if metric == "vmaf" else metric
            compared = ffmpeg.filter([compared, references[number]], name)
        words = _measuring_arguments(compared)
        needs = "libvmaf" if "vmaf" in metrics else None
        with start(words, "info", needs, errors=messages, stdin=frame, pass_fds=fds):
            pass
        messages.seek(0)
        log = messages.read().decode(errors="replace")
    fields = {metric: re.findall(_SCORES[metric], log) for metric in metrics}
    if not all(fields.values()):
        raise FFmpegError(f"ffmpeg gave no {', '.join(metrics)}: {log[-500:]}")
    return {metric: float(found[0]) for metric, found in fields.items()}


def score_streams(
    references: Sequence[np.ndarray], streams: Sequence[Sequence[bytes]]
) -> list[list[float]]:
    """Measure the VMAF of several H.264 streams per frame, for frames of one size, in one run.

    The scores equal those of `measure`. A lossless stream (QP 0) must be the only one: ffmpeg does
    not decode lossy ones after it correctly.
    """
    with unnamed_file(b"".join(itertools.chain(*streams))) as file:
        distorted = stream_input(f"/dev/fd/{file.fileno()}")
        found = _compare(references, [*map(len, streams)], distorted, file.fileno())
    scores = (of_frame["vmaf"] for of_frame in found)
    return [[*itertools.islice(scores, len(of_frame))] for of_frame in streams]


def score_frames(reference: np.ndarray, frames: Sequence[np.ndarray]) -> list[float]:
    """Measure the VMAF of several versions of a frame in one run; as `measure` does of each."""
    return [scores["vmaf"] for scores in _compare_versions(reference, frames)]


def measure_features(reference: np.ndarray, frames: Sequence[np.ndarray]) -> np.ndarray:
    """Measure VMAF and its features of several versions of a frame.

    Args:
        reference: RGB, uint8 [height, width, 3]; each side has at least `LEAST_SIDE` pixels.
        frames: of the same size.

    Returns:
        float64 [frames, `FEATURES`]: about 1 if nothing is lost; VMAF is divided by 100.
    """
    scores = [
        [of_frame[name] for name in FEATURES] for of_frame in _compare_versions(reference, frames)
    ]
    return np.array(scores) / (100, *[1] * (len(FEATURES) - 1))


def _compare_versions(
    reference: np.ndarray, frames: Sequence[np.ndarray]
) -> list[dict[str, float]]:
    """Compare versions of a frame with it; return libvmaf's scores of each version, by name."""
    with unnamed_file(b"".join(frame.tobytes() for frame in frames)) as file:
        distorted = yuv_input(reference, f"/dev/fd/{file.fileno()}")
        return _compare([reference], [len(frames)], distorted, file.fileno())


def _compare(
    references: Sequence[np.ndarray], counts: Sequence[int], distorted, file: int
) -> list[dict[str, float]]:
    """Compare the frames of a video with references, each of which is repeated `counts` times.

    Args:
        distorted: the video, a graph that reads the open `file`.
    """
    repeated = repeat_frames(yuv_input(references[0]), counts)
    pair = [video.filter("settb", "1/25").filter("setpts", "N") for video in (distorted, repeated)]
    compared = ffmpeg.filter(pair, "libvmaf", model=_describe_model(VMAF), **_LOG)
    frames = b"".join(frame.tobytes() for frame in references)
    return _read_scores(_measuring_arguments(compared), frames, pass_fds=(file,))


def score_video(
    distorted: Path,
    reference: Path,
    count: int,
    graphs: tuple[str, str] = ("null", "null"),
    metric: str = VMAF,
    only: Sequence[range] = (),
) -> list[float]:
    """Measure the VMAF of each frame of a video, in 8-bit 4:2:0.

    Args:
        count: the number of frames.
        graphs: ffmpeg filters that prepare the frames of the two videos.
        metric: `VMAF` or `VMAF_NEG`, which does not reward enhancement.
        only: the numbers of the frames to measure, in rising order; by default, all.

    Raises:
        FFmpegError: ffmpeg failed, or the number of measured frames is not `count`.
    """
    ranges = find_ranges(itertools.chain(*only))
    if len(ranges) > MOST_RANGES:
        halves = ranges[:MOST_RANGES], ranges[MOST_RANGES:]
        given = [(sum(map(len, half)), graphs, metric, half) for half in halves]
        return [vmaf for each in given for vmaf in score_video(distorted, reference, *each)]
    select = f"{make_filter(ranges)}," if ranges else ""
    each = f"settb=1/1000,setpts=N,{UNTAG_ALL}:range=tv,format=yuv420p"
    pair = ";".join(
        f"[{number}:V:0]{select}{graph},{each}[{name}]"
        for number, (graph, name) in enumerate(zip(graphs, "ab"))
    )
    log = ":".join(f"{name}={value}" for name, value in _LOG.items())
    still = _describe_model(metric).replace(":", r"\\:")  # escaped since the graph is given as text
    vmaf = f"libvmaf={log}:n_threads={os.cpu_count()}:model={still}"
    words: list[object] = ["-reinit_filter", 0, *input_arguments(distorted)]
    words += ["-reinit_filter", 0, *input_arguments(reference)]
    words += ["-lavfi", f"{pair};[a][b]{vmaf}", *(["-frames:v", count] if ranges else [])]
    words += ["-f", "null", "-"]
    scores = _read_vmaf(words)
    if len(scores) != count:
        raise FFmpegError(f"{len(scores)} frames measured instead of {count}")
    return scores


def _describe_model(metric: str) -> str:
    """Describe a model to libvmaf, without its motion feature."""
    return f"version={metric}:motion.motion_force_zero=true"


def _measuring_arguments(measured) -> list[object]:
    graph = measured.output("pipe:", format="null")
    return graph_arguments(graph.global_args("-filter_complex_threads", "1"))


def _read_vmaf(words: Sequence[object], data: bytes = b"") -> list[float]:
    """Run ffmpeg with libvmaf's log on stdout, and read the VMAF of each frame."""
    return [scores["vmaf"] for scores in _read_scores(words, data)]


def _read_scores(words: Sequence[object], data: bytes, **options: object) -> list[dict[str, float]]:
    """Run ffmpeg with libvmaf's log on stdout, and read all scores of each frame, by name."""
    log = run(words, data, needs="libvmaf", **options)
    return [frame["metrics"] for frame in json.loads(log)["frames"]]


def check_metric(metric: str) -> None:
    """Check that libvmaf has a model.

    Raises:
        UserError: it does not.
    """
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    pair = yuv_input(grey).filter_multi_output("split")
    compared = ffmpeg.filter([pair[0], pair[1]], "libvmaf", model=_describe_model(metric), **_LOG)
    try:
        _read_vmaf(_measuring_arguments(compared), grey.tobytes())
    except FFmpegError:
        raise UserError(
            f"{binary()} has no model {metric}: pip install imageio-ffmpeg brings an ffmpeg with it"
        ) from None


@functools.cache
def metric() -> str:
    """Name libvmaf's version and VMAF's model.

    Raises:
        UserError: this ffmpeg was built without libvmaf.
    """
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    pair = yuv_input(grey).filter_multi_output("split")
    words = _measuring_arguments(ffmpeg.filter([pair[0], pair[1]], "libvmaf", **_LOG))
    log = json.loads(run(words, grey.tobytes(), needs="libvmaf"))
    return f"libvmaf {log.get('version', 'of unknown version')}, {VMAF}"


@functools.cache
def versions() -> dict[str, str]:
    """Find the versions of the tools: `ffmpeg`, and `x264` and `vmaf` if it has them."""
    found = {"ffmpeg": ffmpeg_version()}
    with suppress(UserError):
        found["x264"] = x264_version()
        found["vmaf"] = metric()
    return found
