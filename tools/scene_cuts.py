"""Precision and recall of scene detection on clips whose cuts are known.

Twelve clips of 640x360 at 25 frames per second are made of pans over photographs and of parts of
videos, joined by cuts, dissolves and fades, with flashes in between. What `find_scenes` finds is
compared with PySceneDetect where that is installed, which no other part of this project needs.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from common.base.files import temporary_folder
from common.video.ffmpeg import input_arguments, open_writer, run
from common.video.probe import probe
from common.video.scenes import find_scenes
from tools.samples import find_large, find_pictures

WIDTH, HEIGHT, RATE = 640, 360, 25
_TOLERANCE = 2  # frames between a found cut and the true one, or the transition around it

Frames = np.ndarray  # uint8 [frames, height, width, 3]
Cut = tuple[int, int]  # first and last frame at which a new scene may begin


class Clip(NamedTuple):
    """A clip, and its cuts."""

    kind: str
    frames: Frames
    cuts: list[Cut]


def pan(path: Path, count: int, speed: float = 2.0, at: float = 0.5) -> Frames:
    """Pan over a photograph by `speed` pixels a frame, at a height of 0 (top) to 1 (bottom)."""
    image = Image.open(path).convert("RGB")
    scale = max((WIDTH + speed * count) / image.width, 1.3 * HEIGHT / image.height)
    rgb = np.asarray(image.resize((round(image.width * scale) + 1, round(image.height * scale))))
    top = round((rgb.shape[0] - HEIGHT) * at)
    lefts = [round(speed * number) for number in range(count)]
    return np.stack([rgb[top : top + HEIGHT, left : left + WIDTH] for left in lefts])


def part(path: Path, start: float, count: int) -> Frames:
    """Read `count` frames of a video from `start` (seconds) on."""
    words = ["-ss", start, *input_arguments(path), "-vf", f"fps={RATE},scale={WIDTH}:{HEIGHT}"]
    data = run([*words, "-frames:v", count, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
    return np.frombuffer(data, np.uint8).reshape(count, HEIGHT, WIDTH, 3)


def join(kind: str, parts: Sequence[Frames], over: int = 0, black: int = 0) -> Clip:
    """Join parts by cuts; by dissolves, if they take `over` frames; or by fades through `black`."""
    frames, cuts = parts[0], []
    for after in parts[1:]:
        count = len(frames)
        rising = np.arange(1, over + 1)[:, None, None, None] / (over + 1)
        if black:
            out, dark, into = (
                frames[-over:] * (1 - rising),
                frames[:black] * 0,
                after[:over] * rising,
            )
            frames = [frames[:-over], out, dark, into, after[over:]]
            cuts.append((count - over, count + black + over))
        elif over:
            frames = [
                frames[:-over],
                frames[-over:] * (1 - rising) + after[:over] * rising,
                after[over:],
            ]
            cuts.append((count - over, count))
        else:
            frames = [frames, after]
            cuts.append((count, count))
        frames = np.concatenate(frames).round().astype(np.uint8)
    return Clip(kind, frames, cuts)


def flash(frames: Frames, at: Sequence[int], lights: Sequence[float]) -> Frames:
    """Lighten frames from each of the positions `at` on: 1 is white."""
    frames = frames.copy()
    for first in at:
        for number, light in enumerate(lights, first):
            frames[number] = (frames[number] * (1 - light) + 255 * light).round()
    return frames


def make_clips(photos: Sequence[Path], videos: Path) -> Iterator[Clip]:
    """Make the clips."""
    bunny, bikes, cars = (
        videos / f"{name}.mp4" for name in ("bigbuckbunny", "bikes", "car-detection")
    )
    pans = [pan(path, 60) for path in photos[:10]]
    yield join("cuts between photographs", pans)
    moving = [part(bikes, 0.2, 60), part(cars, 1, 60), part(bunny, 1, 50), part(cars, 7, 60)]
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


def detectors() -> dict[str, Callable[[Path], list[int]]]:
    """List the ways to find the cuts in a file, by name."""
    ways: dict[str, Callable[[Path], list[int]]] = {
        "this project": lambda path: [each.first for each in find_scenes(probe(path))][1:]
    }
    try:
        import scenedetect as psd
    except ImportError:
        return ways

    def of(detector: Callable) -> Callable[[Path], list[int]]:
        return lambda path: [start.frame_num for start, _ in psd.detect(str(path), detector())][1:]

    named = {"ContentDetector": psd.ContentDetector, "AdaptiveDetector": psd.AdaptiveDetector}
    ways |= {f"PySceneDetect, {name}": of(detector) for name, detector in named.items()}
    for threshold in (18, 22, 32):
        ways[f"ContentDetector {threshold}"] = of(
            lambda t=threshold: psd.ContentDetector(threshold=t)
        )
    for threshold in (2.0, 4.0, 5.0):
        ways[f"AdaptiveDetector {threshold}"] = of(
            lambda t=threshold: psd.AdaptiveDetector(adaptive_threshold=t)
        )
    return ways


def main() -> None:
    """Print a table of each clip's hits and false cuts, by each way to find them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--videos", type=Path, required=True)
    options = parser.parse_args()
    photos = find_large(find_pictures(options.images, None), 1400, 800)
    rows, totals = [], {name: np.zeros(3, int) for name in detectors()}
    with temporary_folder() as folder:
        for clip in make_clips(photos[:: len(photos) // 31], options.videos):
            path = folder / "clip.mp4"
            write_clip(clip, path)
            row = {"clip": clip.kind, "cuts": len(clip.cuts)}
            for name, find in detectors().items():
                found = find(path)
                hits = count_hits(found, clip.cuts)
                totals[name] += hits, len(clip.cuts), len(found)
                row[name] = f"{hits}+{len(found) - hits}"
            rows.append(row)
    print(pd.DataFrame(rows).to_markdown(index=False))
    for name, (hits, cuts, found) in totals.items():
        print(f"{name}: precision {hits / max(found, 1):.3f}, recall {hits / cuts:.3f}")


if __name__ == "__main__":
    main()
