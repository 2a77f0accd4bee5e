"""The scenes of a video, by ffmpeg's scene filter."""

from __future__ import annotations

from typing import NamedTuple

from common.video.probe import Video

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

    def middle(self, count: int) -> list[int]:
        """The numbers of up to `count` frames in a row, from its middle."""
        count = min(count, self.end - self.first)
        first = self.first + (self.end - self.first - count) // 2
        return list(range(first, first + count))


def find_scenes(video: Video) -> list[Scene]:
    """The scenes of a video, in order.

    Where the frames' size or pixel format changes, a scene ends, however short it is: each part
    was coded in another way.
    """
    times, last = video.times, len(video.times) - 1
    changed = [first for first, look in video.looks[1:] if look[:3] != video.look_at(first - 1)[:3]]
    starts = [0]
    for cut in sorted({*video.cuts, *changed} - {0}):
        long = times[cut] - times[starts[-1]] >= _SECONDS and times[last] - times[cut] >= _SECONDS
        if long or cut in changed:
            starts.append(cut)
    ends = [*starts[1:], last]
    return [Scene(first, end, times[first], times[end]) for first, end in zip(starts, ends)]
