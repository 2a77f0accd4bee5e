"""Prefetching: threads read pictures while the model runs on earlier ones."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ..base.parallel import Pool, count_cores
from .records import Failure

Item = TypeVar("Item")


class PreparedPicture(NamedTuple):
    """A picture as the frames that a model sees."""

    path: Path | None
    height: int  # of the picture, in pixels
    width: int
    frames: np.ndarray  # uint8 [frames, 352, 640, 3], blue-green-red
    notes: list[str]  # about how the picture was interpreted
    statistics: np.ndarray | None = None  # see `data.statistics`, if the model uses them


def predict_ahead(
    items: Iterable[Item],
    prepare: Callable[[Item], PreparedPicture | Failure],
    predict: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
) -> Iterator[tuple[PreparedPicture, np.ndarray] | Failure]:
    """Yield each item's picture with the mean levels of its frames, in order, or its failure.

        items ─ reading: 1 thread ─ preparing: a thread per core ─ waiting ─ predict: the caller's

    Reading iterates over `items`, which may be frames that ffmpeg decodes, and prediction takes
    about `batch_size` frames at a time. The number of items read ahead is bounded.
    """
    threads = count_cores()
    items = iter(items)

    def read_next() -> "Future[PreparedPicture | Failure] | None":
        """Read an item, and have it prepared; None after the last one."""
        try:
            return preparing.submit(prepare, next(items))
        except StopIteration:
            return None

    with Pool(threads) as preparing, Pool(1) as reading:
        # In the order of the items: futures of `read_next`, whose results are futures of `prepare`.
        waiting = deque(reading.submit(read_next) for _ in range(batch_size + 2 * threads))
        try:
            while batch := list(_take_batch(waiting, batch_size)):
                waiting += [reading.submit(read_next) for _ in batch]
                yield from _predict_batch(batch, predict)
        finally:
            reading.shutdown(wait=False, cancel_futures=True)
            preparing.shutdown(wait=False, cancel_futures=True)


def _take_batch(
    waiting: "deque[Future[Future[PreparedPicture | Failure] | None]]", batch_size: int
) -> Iterator[PreparedPicture | Failure]:
    """Take pictures, and failures between them, until there are `batch_size` frames or no more.

    None in `waiting` is the end; if it ends a batch, the next one is empty.
    """
    frames = 0
    while frames < batch_size and (future := waiting.popleft().result()):
        prepared = future.result()
        frames += len(prepared.frames) if isinstance(prepared, PreparedPicture) else 0
        yield prepared


def _predict_batch(
    batch: list[PreparedPicture | Failure], predict: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[PreparedPicture, np.ndarray] | Failure]:
    frames = [each.frames for each in batch if isinstance(each, PreparedPicture)]
    levels = iter(predict(np.concatenate(frames)) if frames else ())
    for each in batch:
        if isinstance(each, Failure):
            yield each
        else:
            yield each, np.stack([*islice(levels, len(each.frames))]).mean(axis=0)
