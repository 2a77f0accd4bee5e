"""The same work on many things, over all cores."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import psutil
from tqdm import tqdm


def in_parallel(function: Callable, things: Iterable, doing: str) -> list:
    """`function` of each thing, in their order, with a progress bar on a terminal.

    Threads, since the work is done by ffmpeg and by libraries that let go of Python's lock; and
    since threads die with a killed program where processes would stay. The first error or signal
    ends it: programs that are at work are killed, and threads clean up behind themselves.
    """
    # Those cores that this process may use, where the system tells.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(cores) as pool:
        futures = [pool.submit(function, thing) for thing in things]
        try:
            return [each.result() for each in tqdm(futures, doing, disable=None, leave=False)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):
                for child in psutil.Process().children():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
                time.sleep(0.02)
            raise
