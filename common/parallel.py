"""The same work on many things, over all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Thing], Result], things: Iterable[Thing], doing: str
) -> list[Result]:
    """`function` of each thing, in their order, with a progress bar on a terminal.

    Threads, since the work is done by ffmpeg and by libraries that let go of Python's lock; and
    since threads die with a killed program where processes would stay. The first error ends it
    without waiting for what is under way.
    """
    things = list(things)
    pool = ThreadPoolExecutor(_cores())
    try:
        results = pool.map(function, things)
        return list(tqdm(results, doing, len(things), disable=None, leave=False))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
