"""The same work on many things, over all cores, or over the machines of a Dask cluster."""

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil

from .errors import UserError
from .progress import Progress

_SECONDS = 10  # that a scheduler and its first worker have to answer


def parallel_map(
    function: Callable, things: Iterable, doing: str, sizes: Sequence[int] | None = None
) -> list:
    """`function` of each thing, in their order, with a progress bar on a terminal.

    The bar counts things or, where there are `sizes`, what they hold.

    Threads, since the work is done by ffmpeg and by libraries that let go of Python's lock; and
    since threads die with a killed program where processes would stay. The first error or signal
    ends it: programs that are at work are killed, and threads clean up behind themselves.
    """
    with ThreadPoolExecutor(count_cores()) as pool:
        futures = [pool.submit(function, thing) for thing in things]
        try:
            with _bar(doing, held := sizes or [1] * len(futures)) as bar:
                return [_counted(bar, each.result(), size) for each, size in zip(futures, held)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):
                for child in psutil.Process().children():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
                time.sleep(0.02)
            raise


def count_cores() -> int:
    """Count the cores available to this process, or all cores if the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _bar(doing: str, sizes: Sequence[int]) -> Progress:
    return Progress(desc=doing, total=sum(sizes))


def _counted(bar: Progress, result: object, size: int) -> object:
    bar.update(size)
    return result


def cluster_map(
    scheduler: str,
    seen: Callable[[], dict],
    function: Callable,
    things: Iterable,
    doing: str,
    sizes: Sequence[int] | None = None,
) -> list:
    """As `parallel_map`, by the workers of the Dask scheduler at an address (tcp://HOST:PORT).

    What a killed worker had at hand, another one does.

    Args:
        seen: gives what must be the same here and for each worker, by its name, in a few words.

    Raises:
        UserError: Dask is not installed, no scheduler or worker answers, or `seen` differs.
    """
    try:
        import distributed
    except ModuleNotFoundError:
        raise UserError("--scheduler needs Dask: pip install distributed") from None
    try:
        client = distributed.Client(scheduler, timeout=_SECONDS)
    except (OSError, ValueError):
        raise UserError(f"{scheduler}: no Dask scheduler answers there") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS)
        except distributed.TimeoutError:  # Python's own only from 3.11 on
            raise UserError(f"{scheduler}: it has no workers") from None
        try:
            client.run_on_scheduler(importlib.import_module, __name__)
        except ModuleNotFoundError as error:
            raise UserError(f"{scheduler}: {error}; start it in a clone of this project") from None
        ours = seen()
        for worker, theirs in client.run(seen, on_error="return").items():
            if isinstance(theirs, Exception):
                raise UserError(f"worker {worker}: {theirs}")
            for name in (name for name in ours if theirs[name] != ours[name]):
                raise UserError(f"worker {worker}: {name} is {theirs[name]}, not {ours[name]}")
        futures = client.map(function, list(things), pure=False)
        held = dict(zip((future.key for future in futures), sizes or [1] * len(futures)))
        with _bar(doing, list(held.values())) as bar:
            for future in distributed.as_completed(futures):
                bar.update(held[future.key])
        return client.gather(futures)


in_parallel, on_cluster = parallel_map, cluster_map  # until all say so
