"""Test pictures for measurements, and the frames and clips made from them."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from common.base.errors import UserError, report_skipped
from common.data.kinds import PICTURE, VIDEO
from common.data.listing import describe_others, list_files
from common.data.pictures import read_rgb, read_size
from common.data.text import read_text
from common.video.ffmpeg import input_arguments, run

CLIP_SECONDS, CLIP_HEIGHT, CLIP_LEAST, _RATE = 5, 720, 1500, 25


def find_pictures(folder: Path, contents: Path | None) -> list[Path]:
    """Find the pictures below a folder; with the file `contents`, only those that it lists.

    Raises:
        UserError: there are none, or the file cannot be read.
    """
    pictures, others, _ = list_files(folder, {PICTURE}, "pictures")
    if others:
        report_skipped(describe_others(others, {PICTURE}))
    if contents:
        named = set(read_text(contents, "names of pictures, one per line").splitlines())
        pictures = [path for path in pictures if path.name in named]
        if not pictures:
            raise UserError(f"{contents}: names none of the pictures in {folder}")
    return pictures


def find_large(pictures: Sequence[Path], width: int, height: int, least: int = 1) -> list[Path]:
    """Select the pictures of at least `width` x `height` pixels.

    Raises:
        UserError: there are fewer than `least`, or one cannot be read.
    """
    large = []
    for path in pictures:
        size = read_size(path)
        if size[0] >= width and size[1] >= height:
            large.append(path)
    if len(large) < least:
        raise UserError(
            f"only {len(large)} of {len(pictures)} pictures are at least {width}x{height}; {least} "
            "are needed: add larger ones to --images"
        )
    return large


def make_frames(pictures: Sequence[Path], width: int, height: int, count: int) -> list[np.ndarray]:
    """Make frames from the first `count` pictures that are large enough, RGB uint8.

    Each is the largest centred crop of that aspect ratio, downscaled to `width` x `height`.

    Raises:
        UserError: no picture is large enough.
    """
    frames: list[np.ndarray] = []
    for path in find_large(pictures, width, height)[:count]:
        rgb = read_rgb(path)
        across = min(rgb.shape[1], rgb.shape[0] * width // height)
        high = across * height // width
        top, left = (rgb.shape[0] - high) // 2, (rgb.shape[1] - across) // 2
        part = Image.fromarray(rgb[top : top + high, left : left + across])
        frames.append(np.asarray(part.resize((width, height), Image.Resampling.LANCZOS)))
    return frames


def make_clips(
    pictures: Sequence[Path],
    folder: Path,
    count: int,
    height: int = CLIP_HEIGHT,
    seconds: int = CLIP_SECONDS,
) -> Iterator[Path]:
    """Make clips in 16:9: pans over pictures, two in `CLIP_SECONDS` or one in each of these.

    They are lossless, from the first pictures that are at least `CLIP_LEAST` pixels wide.

    Raises:
        UserError: there are too few such pictures for a clip.
    """
    pans = max(seconds // CLIP_SECONDS, 2)
    large = find_large(pictures, CLIP_LEAST, CLIP_HEIGHT, least=pans)
    of_each = zip(*(large[first::pans] for first in range(pans)))
    for number, chosen in enumerate(itertools.islice(of_each, count)):
        clip = folder / f"clip{number}.mkv"
        inputs = [word for path in chosen for word in ("-i", path)]
        graphs = [_pan(each, height, seconds / pans) for each in range(pans)]
        graph = f"{';'.join(graphs)};{''.join(f'[{n}]' for n in range(pans))}concat=n={pans}"
        lossless = ("-r", _RATE, "-c:v", "libx264", "-qp", 0, "-preset", "ultrafast")
        run([*inputs, "-filter_complex", graph, *lossless, clip])
        yield clip


def _pan(number: int, height: int, seconds: float) -> str:
    """Make ffmpeg's filters that pan over the input with this number."""
    width, frames = height * 16 // 9, int(seconds * _RATE)
    return (
        # At least an eighth wider than the clip, however tall the picture is.
        f"[{number}:v]scale={width * 9 // 8}:{height * 3 // 2}:flags=lanczos:"
        "force_original_aspect_ratio=increase:force_divisible_by=2,format=yuv420p,setsar=1,"
        f"loop={frames - 1}:1,setpts=N/{_RATE}/TB,"
        f"crop={width}:{height}:(iw-{width})*t/{seconds}:(ih-{height})/2[{number}]"
    )


def cut_clips(folder: Path, target: Path, width: int) -> list[Path]:
    """Decode the first `CLIP_SECONDS` of each video in a folder to lossless clips in `target`.

    Videos that are more than `width` pixels wide are downscaled.

    Raises:
        UserError: there are none.
    """
    videos = list_files(folder, {VIDEO}, "videos").files
    clips = [target / f"{video.stem}.mkv" for video in videos]
    for video, clip in zip(videos, clips):
        words = [*input_arguments(video), "-map", "0:V:0", "-t", CLIP_SECONDS, "-c:v", "libx264"]
        words += ["-vf", f"scale='min({width},iw)':-2:flags=lanczos", "-qp", 0]
        run([*words, "-preset", "ultrafast", f"file:{clip}"])
    return clips
