"""Work side by side: on all cores, on the machines of a Dask cluster, or one item ahead."""

import contextlib
import importlib
import os
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar, cast

from .errors import UserError
from .progress import Progress

_Item = TypeVar("_Item")
_Processes = set[subprocess.Popen]
_SECONDS = 10  # to wait for a scheduler and for its first worker
# For each pool that this thread works for, directly or through another pool: its child processes.
_children: ContextVar[tuple[_Processes, ...]] = ContextVar("children", default=())


class Pool(ThreadPoolExecutor):
    """A pool of threads that can be stopped: their child processes are known, and are killed."""

    def __init__(self, threads: int):
        super().__init__(threads)
        self._processes: _Processes = set()

    def submit(self, function: Callable, /, *arguments: Any, **named: Any) -> Future:
        """Have a thread call `function`."""
        context = copy_context()
        context.run(_children.set, (*_children.get(), self._processes))
        return super().submit(context.run, function, *arguments, **named)

    def stop(self, futures: Sequence[Future]) -> None:
        """Start nothing more, and kill child processes until none of the futures is running."""
        self.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in futures):
            for process in tuple(self._processes):
                process.kill()
            time.sleep(0.02)


@contextlib.contextmanager
def register_child(process: subprocess.Popen) -> Iterator[None]:
    """Have a process killed if the pool of the thread that runs this block is stopped."""
    pools = _children.get()
    for processes in pools:
        processes.add(process)
    try:
        yield
    finally:
        for processes in pools:
            processes.discard(process)


def count_cores() -> int:
    """Count the cores available to this process, or all cores if the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable,
    items: Iterable,
    desc: str,
    sizes: Sequence[int] | None = None,
    observe: Callable[[Any], object] = lambda _: None,
) -> list:
    """Call `function` on each item in threads; return the results in order.

    Threads suffice, since ffmpeg and libraries that release the GIL do the work; and unlike
    processes, they cannot outlive a killed program. The first error or signal stops all of them:
    their child processes are killed, and each thread cleans up.

    Args:
        desc: the progress bar's description.
        sizes: the weight of each item on the progress bar (default: 1).
        observe: called with each result, in order, in the calling thread. After an error or signal
            it sees no more of them, since their child processes may have been killed.
    """
    with Pool(count_cores()) as pool:
        futures = [pool.submit(function, item) for item in items]
        sizes = sizes or [1] * len(futures)
        try:
            with Progress(desc=desc, total=sum(sizes)) as bar:
                for future, size in zip(futures, sizes):
                    observe(future.result())
                    bar.update(size)
            return [future.result() for future in futures]
        except BaseException:
            pool.stop(futures)
            raise


def read_ahead(items: Generator[_Item, None, None]) -> Generator[_Item, None, None]:
    """Yield the items, while a thread takes the next one already.

    If this generator is closed early, the thread's child processes are killed, so that it ends
    soon, and the generator of the items is closed.
    """
    end = object()
    with contextlib.closing(items), Pool(1) as pool:
        coming = pool.submit(next, items, end)
        try:
            while (item := coming.result()) is not end:
                coming = pool.submit(next, items, end)
                yield cast(_Item, item)
        except BaseException:
            pool.stop([coming])
            raise


def cluster_map(
    scheduler: str,
    fingerprint: Callable[[], dict],
    function: Callable,
    items: Iterable,
    desc: str,
    sizes: Sequence[int] | None = None,
) -> list:
    """Do the same as `parallel_map` on the workers of a Dask cluster.

    If a worker is killed, another one repeats its items.

    Args:
        scheduler: address of the Dask scheduler, tcp://HOST:PORT.
        fingerprint: returns named facts that must be the same here and on every worker.

    Raises:
        UserError: Dask is not installed, no scheduler or worker answers, or a fingerprint differs.
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
        except TimeoutError:
            raise UserError(f"{scheduler}: it has no workers") from None
        try:
            client.run_on_scheduler(importlib.import_module, __name__)
        except ModuleNotFoundError as error:
            raise UserError(f"{scheduler}: {error}; start it in a clone of this project") from None
        _compare(fingerprint(), client.run(fingerprint, on_error="return"))
        futures = client.map(function, list(items), pure=False)
        counts = dict(zip((future.key for future in futures), sizes or [1] * len(futures)))
        with Progress(desc=desc, total=sum(counts.values())) as bar:
            for future in distributed.as_completed(futures):
                bar.update(counts[future.key])
        return client.gather(futures)


def _compare(ours: dict, fingerprints: dict[str, Any]) -> None:
    """Raise a UserError if a worker's fingerprint differs from ours, or is an exception."""
    for worker, theirs in fingerprints.items():
        if isinstance(theirs, Exception):
            raise UserError(f"worker {worker}: {theirs}")
        for name in (name for name in ours if theirs[name] != ours[name]):
            raise UserError(f"worker {worker}: {name} is {theirs[name]}, not {ours[name]}")
