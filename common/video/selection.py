"""Selection of a video's frames by number, by ffmpeg's filter `select`."""

from collections.abc import Iterable, Sequence

# Ranges that one filter selects from: more might exceed Linux's limit for an argument, 128 KiB.
MOST_RANGES = 1000


def find_ranges(numbers: Iterable[int]) -> list[range]:
    """Find the ranges of consecutive numbers among rising ones."""
    ranges: list[range] = []
    for number in numbers:
        first = ranges.pop().start if ranges and ranges[-1].stop == number else number
        ranges.append(range(first, number + 1))
    return ranges


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
