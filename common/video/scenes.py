"""Scenes of a video, from the cuts found by ffmpeg."""

from typing import NamedTuple

from .probe import Video

# Shorter scenes are joined to the one before.
_SECONDS = 0.5


class Scene(NamedTuple):
    """Frames of a video from one cut to the next."""

    first: int  # number of the first frame; `end` is that of the frame after the last
    end: int
    start_seconds: float
    end_seconds: float

    def sampled(self, count: int) -> list[int]:
        """Numbers of up to `count` frames, each in the middle of an equal part of the scene."""
        frames = self.end - self.first
        count = min(count, frames)
        return [self.first + int((place + 0.5) * frames / count) for place in range(count)]

    def middle(self, count: int) -> list[int]:
        """Numbers of up to `count` consecutive frames from the middle of the scene."""
        count = min(count, self.end - self.first)
        first = self.first + (self.end - self.first - count) // 2
        return list(range(first, first + count))


def find_scenes(video: Video) -> list[Scene]:
    """Find the scenes of a video, in order.

    A change of frame size or pixel format always begins a scene, however short, because the two
    parts were encoded differently.
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
