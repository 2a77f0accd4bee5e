"""Selection of a video's frames by number, by ffmpeg's filter `select`."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

# Ranges that one filter selects from. An argument is limited to 128 KiB by Linux, and one that
# measures two videos has this filter twice.
MOST_RANGES = 1000


def find_ranges(numbers: Iterable[int]) -> list[range]:
    """Find the ranges of consecutive numbers among rising ones."""
    ranges: list[range] = []
    for number in numbers:
        first = ranges.pop().start if ranges and ranges[-1].stop == number else number
        ranges.append(range(first, number + 1))
    return ranges


def cover(ranges: Sequence[range], most: int = MOST_RANGES) -> list[range]:
    """Cover rising ranges by up to `most` ones, with as few other numbers as possible."""
    gaps = [(after.start - before.stop, at) for at, (before, after) in enumerate(pairwise(ranges))]
    widest = sorted(at for _, at in sorted(gaps, reverse=True)[: most - 1])
    starts = [0, *(at + 1 for at in widest)]
    ends = [*starts[1:], len(ranges)]
    return [range(ranges[a].start, ranges[b - 1].stop) for a, b in zip(starts, ends) if a < b]


def make_filter(ranges: Sequence[range]) -> str:
    """Make the filter that passes on the frames with these numbers, from 0, in rising order.

    It counts from 0 again if ffmpeg rebuilds its filters, so ffmpeg needs `-reinit_filter 0`.
    """
    return f"select='{_search(ranges)}'"


def _search(ranges: Sequence[range]) -> str:
    """Make an expression that finds, by bisection, whether frame `n` is in one of the ranges."""
    if len(ranges) == 1:
        return f"between(n,{ranges[0].start},{ranges[0].stop - 1})"
    middle = len(ranges) // 2
    before, after = _search(ranges[:middle]), _search(ranges[middle:])
    return f"if(lt(n,{ranges[middle].start}),{before},{after})"
