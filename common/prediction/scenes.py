"""The scenes of a video, by ffmpeg's scene filter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from common.codecs.ffmpeg import opened, output
from common.errors import UserError

# Of the filter's score, 0 to 100; its own default.
_CUT = 10
# Pixels across that scenes are looked for in.
_WIDTH = 320
# A scene of less is part of the one before it.
_SECONDS = 0.5


class Scene(NamedTuple):
    """Frames of a video from one cut to the next."""

    first: int  # the numbers of its first frame and of the one after its last
    end: int
    start_seconds: float
    end_seconds: float

    def sampled(self, count: int) -> list[int]:
        """The numbers of up to `count` frames, in the middles of equal shares."""
        frames = self.end - self.first
        count = min(count, frames)
        return [self.first + int((place + 0.5) * frames / count) for place in range(count)]


def find_scenes(path: Path) -> list[Scene]:
    """The scenes of a video, in order; every frame of it is decoded, so what is whole is known.

    Raises:
        UserError: the file cannot be read as a video.
    """
    small = opened(path).filter("scale", _WIDTH, -2, flags="fast_bilinear")
    scores = small.filter("scdet", threshold=_CUT).filter("metadata", "print", file="-")
    log = output(scores.output("-", format="null", fps_mode="passthrough"), source=path).decode()
    times, cuts = [], []
    for line in log.splitlines():
        if match := re.match(r"frame:(\d+) .*pts_time:(\S+)", line):
            times.append(float(match[2]))
        elif line.startswith("lavfi.scd.time"):
            cuts.append(len(times) - 1)
    if not times:
        raise UserError(f"{path}: cannot be read as a video (no frames in it)")
    times = [time - times[0] for time in times]
    # The last frame is shown as long as frames are on average.
    times.append(times[-1] + (times[-1] / (len(times) - 1) if len(times) > 1 else 0.04))
    starts = [0]
    for cut in cuts:
        if times[cut] - times[starts[-1]] >= _SECONDS and times[-1] - times[cut] >= _SECONDS:
            starts.append(cut)
    ends = [*starts[1:], len(times) - 1]
    return [Scene(first, end, times[first], times[end]) for first, end in zip(starts, ends)]
