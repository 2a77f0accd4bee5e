"""Precision and recall of scene detection on clips whose cuts are known.

Thirteen clips of 640x360 at 25 frames per second are made of pans over photographs and of parts of
videos, joined by cuts, dissolves and fades, with flashes in between. `find_scenes` is compared with
ffmpeg's scdet and, if installed, with PySceneDetect, which no other part of this project needs.
"""

import argparse
import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from common.base.temporary import temporary_folder
from common.video.ffmpeg import input_arguments, open_writer, run
from common.video.probe import probe
from common.video.scenes import find_scenes
from tools.samples import find_large, find_pictures

WIDTH, HEIGHT, RATE = 640, 360, 25
_PHOTOS = 31  # number of photographs in the clips
_TOLERANCE = 2  # frames between a detected cut and the true cut or transition

Frames = np.ndarray  # uint8 [frames, height, width, 3]
Cut = tuple[int, int]  # first and last frame at which a new scene may begin


class Clip(NamedTuple):
    """A clip, and its cuts."""

    kind: str
    frames: Frames
    cuts: list[Cut]


def pan(path: Path, count: int, speed: float = 2.0, at: float = 0.5) -> Frames:
    """Pan over a photograph by `speed` pixels per frame, at height `at`: 0 (top) to 1 (bottom)."""
    image = Image.open(path).convert("RGB")
    scale = max((WIDTH + speed * count) / image.width, 1.3 * HEIGHT / image.height)
    rgb = np.asarray(image.resize((round(image.width * scale) + 1, round(image.height * scale))))
    top = round((rgb.shape[0] - HEIGHT) * at)
    lefts = [round(speed * number) for number in range(count)]
    return np.stack([rgb[top : top + HEIGHT, left : left + WIDTH] for left in lefts])


def read_part(path: Path, start: float, count: int) -> Frames:
    """Read `count` frames of a video from `start` (seconds) on."""
    words = ["-ss", start, *input_arguments(path), "-vf", f"fps={RATE},scale={WIDTH}:{HEIGHT}"]
    data = run([*words, "-frames:v", count, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
    return np.frombuffer(data, np.uint8).reshape(count, HEIGHT, WIDTH, 3)


def join(kind: str, parts: Sequence[Frames], over: int = 0, black: int = 0) -> Clip:
    """Join parts by cuts, by dissolves of `over` frames, or by fades through `black` frames."""
    frames, cuts = parts[0], []
    rising = np.arange(1, over + 1)[:, None, None, None] / (over + 1)
    for after in parts[1:]:
        kept, last = frames[: len(frames) - over], frames[len(frames) - over :]
        falls, rises = last * (1 - rising), after[:over] * rising
        blended = np.concatenate([falls, frames[:black] * 0, rises] if black else [falls + rises])
        cuts.append((len(kept), len(kept) + len(blended)))
        frames = np.concatenate([kept, blended.round().astype(np.uint8), after[over:]])
    return Clip(kind, frames, cuts)


def flash(frames: Frames, at: Sequence[int], lights: Sequence[float]) -> Frames:
    """Lighten the frames from each number in `at` by the `lights`, where 1 is white."""
    frames = frames.copy()
    for first in at:
        for number, light in enumerate(lights, first):
            frames[number] = (frames[number] * (1 - light) + 255 * light).round()
    return frames


def make_clips(photos: Sequence[Path], videos: Path) -> Iterator[Clip]:
    """Make the thirteen clips from photographs and the sample videos."""
    bunny, bikes, cars = (
        videos / f"{name}.mp4" for name in ("bigbuckbunny", "bikes", "car-detection")
    )
    pans = [pan(path, 60) for path in photos[:10]]
    yield join("cuts between photographs", pans)
    starts = ((bikes, 2.7, 40), (cars, 1, 60), (bunny, 1, 50), (cars, 7, 60))
    moving = [read_part(*each) for each in starts]
    yield join("cuts between videos", [moving[0], pans[0], *moving[1:], pans[1]])
    same = [pan(path, 50, 2, at) for path in photos[10:13] for at in (0.0, 1.0)]
    yield join("cuts within a photograph", same)
    yield join("cuts between dark scenes", [(each * 0.25).astype(np.uint8) for each in pans[2:8]])
    quick = [pan(path, 15) for path in photos[13:25]]
    yield join("scenes of 0.6 s", quick)
    yield join("dissolves of 0.4 s", pans[:6], over=10)
    yield join("dissolves of 1 s", pans[4:], over=25)
    yield join("fades through black", pans[:6], over=12, black=6)
    for lights in ([1.0], [1.0, 0.9], [1.0, 0.8, 0.4]):
        kind = f"flashes of {len(lights)} frames"
        lit = [flash(each, (20, 40), lights) for each in pans[:4]]
        yield join(kind, lit)
    lit = [flash(each, (len(each) - 2,), [1.0, 1.0]) for each in pans[4:9]]
    yield join("flashes at cuts", lit)
    yield join(
        "fast pans", [pan(path, 60, speed) for path, speed in zip(photos[25:31], [20, 30, 40] * 2)]
    )


def write_clip(clip: Clip, path: Path) -> None:
    """Encode a clip as H.264 at QP 20."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", RATE, "-i", "-"]
    coded = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-qp", 20, path]
    with open_writer([*raw, *coded]) as pipe:
        pipe.write(clip.frames.tobytes())


def count_hits(found: Sequence[int], cuts: Sequence[Cut]) -> int:
    """Count the cuts that were found; a cut found twice is one hit."""
    return sum(
        any(first - _TOLERANCE <= each <= last + _TOLERANCE for each in found)
        for first, last in cuts
    )


def list_detectors() -> dict[str, Callable[[Path], list[int]]]:
    """List the functions that find the cuts in a file, by name."""
    ways: dict[str, Callable[[Path], list[int]]] = {
        "this project": lambda path: [scene.first for scene in find_scenes(probe(path))[1:]]
    }
    for threshold in (10.0, 6.0):
        ways[f"scdet {threshold:g}"] = functools.partial(detect_by_scdet, threshold=threshold)
    with contextlib.suppress(ImportError):
        import scenedetect

        def detect(path: Path, detector: type, threshold: float) -> list[int]:
            scenes = scenedetect.detect(str(path), detector(threshold))
            return [first.frame_num for first, _ in scenes[1:]]

        for detector, thresholds in (
            (scenedetect.ContentDetector, (27.0, 32.0)),
            (scenedetect.AdaptiveDetector, (3.0, 5.0)),
        ):
            for threshold in thresholds:
                ways[f"{detector.__name__} {threshold:g}"] = functools.partial(
                    detect, detector=detector, threshold=threshold
                )
    return ways


def detect_by_scdet(path: Path, threshold: float) -> list[int]:
    """Find cuts by ffmpeg's filter scdet, dropping those less than 0.5 s after another."""
    graph = f"scdet=threshold={threshold},metadata=print:key=lavfi.scd.time:file=-"
    log = run([*input_arguments(path), "-vf", graph, "-f", "null", "-"]).decode()
    cuts: list[int] = []
    for time in re.findall(r"lavfi.scd.time=(\S+)", log):
        number = round(float(time) * RATE)
        if number - (cuts[-1] if cuts else 0) >= RATE / 2:
            cuts.append(number)
    return cuts


def main() -> None:
    """Print hits and false cuts by clip, and precision and recall, of each detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--videos", type=Path, required=True, help="folder of the sample videos")
    parser.add_argument("--first", type=int, default=0, help="number of the first photograph used")
    options = parser.parse_args()
    photos = find_large(find_pictures(options.images, None), 1400, 800)
    chosen = photos[options.first :: len(photos) // _PHOTOS]
    rows = []
    with temporary_folder() as folder:
        for clip in make_clips(chosen, options.videos):
            path = folder / "clip.mp4"
            write_clip(clip, path)
            for name, find in list_detectors().items():
                before = sum(os.times()[:4])
                found = find(path)
                seconds = sum(os.times()[:4]) - before
                hits = count_hits(found, clip.cuts)
                rows.append((clip.kind, name, len(clip.cuts), hits, len(found) - hits, seconds))
    columns = ["clip", "way", "cuts", "hits", "false cuts", "CPU s"]
    table = pd.DataFrame(rows, columns=columns)
    table["found"] = table.hits.astype(str) + " + " + table["false cuts"].astype(str)
    by_clip = table.pivot(index=["clip", "cuts"], columns="way", values="found")
    print(by_clip.reset_index().to_markdown(index=False))
    sums = table.groupby("way", sort=False)[columns[2:]].sum()
    sums["precision"] = sums.hits / (sums.hits + sums["false cuts"])
    sums["recall"] = sums.hits / sums.cuts
    print(sums.to_markdown(floatfmt=".3f"))


if __name__ == "__main__":
    main()
