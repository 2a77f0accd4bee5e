"""Scenes of a video, derived from its cuts."""

from itertools import pairwise
from typing import NamedTuple

from .probe import Video

_GROUP = 4  # frames: the usual period of coded frame types, or a divisor of it
_PART, _MOST_PARTS = 250, 3  # frames of a part of a scene for trial encodes; number of parts
_SHORTEST = 0.5  # seconds; shorter scenes are merged into the previous one


class Scene(NamedTuple):
    """Frames of a video from one cut to the next."""

    first: int  # number of the first frame
    end: int  # number of the frame after the last
    start_seconds: float
    end_seconds: float

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.end - self.first

    def sample(self, count: int) -> list[int]:
        """Choose up to `count` frames, one in the middle of each equal part of the scene."""
        count = min(count, self.frames)
        return [self.first + int((part + 0.5) * self.frames / count) for part in range(count)]

    def middle(self, count: int) -> range:
        """Choose up to `count` consecutive frames near the middle of the scene.

        They begin a whole number of groups after its first frame. A video that was coded before has
        frames of different quality in turn, and costs more if another encode takes them in another
        turn: beginning one frame later, 48 frames of it had 1.6 VMAF less, in 11 % more bytes.
        """
        count = min(count, self.frames)
        before = (self.frames - count) // 2 // _GROUP * _GROUP
        return range(self.first + before, self.first + before + count)

    def middles(self, count: int) -> list[range]:
        """Choose up to `count` frames near the middle of each part of the scene, as `middle` does.

        There is one part for each _PART frames begun, and at most _MOST_PARTS.
        """
        parts = min(-(-self.frames // _PART), _MOST_PARTS)
        groups = -(-self.frames // _GROUP)
        starts = [self.first + groups * part // parts * _GROUP for part in range(parts)]
        ends = [*starts[1:], self.end]
        return [
            self._replace(first=start, end=end).middle(count) for start, end in zip(starts, ends)
        ]


def find_scenes(video: Video) -> list[Scene]:
    """Find the scenes of a video, in order.

    A change of frame size or pixel format always begins a scene, however short, because the parts
    were encoded differently.
    """
    times, last = video.times, video.frames
    changed = [
        first for (_, old), (first, new) in pairwise(video.formats) if old.layout != new.layout
    ]
    starts = [0]
    for cut in sorted({*video.cuts, *changed} - {0}):
        shortest = min(times[cut] - times[starts[-1]], times[last] - times[cut])
        if shortest >= _SHORTEST or cut in changed:
            starts.append(cut)
    ends = [*starts[1:], last]
    return [Scene(first, end, times[first], times[end]) for first, end in zip(starts, ends)]
