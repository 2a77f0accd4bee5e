"""Prefetching: pictures are read in threads while the model runs on earlier ones."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from ..base.errors import UserError, as_result
from ..base.parallel import count_cores

Item = TypeVar("Item")


class Shown(NamedTuple):
    """Frames of a picture as a model sees them."""

    height: int  # of the picture, in pixels
    width: int
    frames: np.ndarray  # uint8 [parts, 352, 640, 3], blue-green-red
    notes: list[str]  # about how the picture was interpreted


class Prediction(NamedTuple):
    """Levels that a model predicts for a picture."""

    height: int  # of the picture, in pixels
    width: int
    levels: np.ndarray  # float32 [levels], the mean over the frames that the model saw
    notes: list[str]  # about how the picture was interpreted


def predict_ahead(
    items: Iterable[Item],
    show: Callable[[Item], Shown],
    levels: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
) -> Iterator[Prediction | UserError]:
    """Yield the prediction for each of `items` in order, or the error that prevents it.

    One thread iterates over `items`, which may be frames that ffmpeg decodes; as many threads as
    there are cores call `show`; and this one calls `levels` on about `batch_size` frames at once.
    The number of items read ahead is bounded.
    """
    threads = count_cores()
    items = iter(items)

    def read_next() -> Future | None:
        try:
            return showing.submit(as_result, show, next(items))
        except StopIteration:
            return None

    with ThreadPoolExecutor(threads) as showing, ThreadPoolExecutor(1) as reading:
        waiting = deque(reading.submit(read_next) for _ in range(batch_size + 2 * threads))
        try:
            while batch := list(_batch(waiting, batch_size)):
                waiting += [reading.submit(read_next) for _ in batch]
                yield from _predict(batch, levels)
        finally:
            reading.shutdown(wait=False, cancel_futures=True)
            showing.shutdown(wait=False, cancel_futures=True)


def _batch(waiting: deque[Future], batch_size: int) -> Iterator[Shown | UserError]:
    """Take pictures with `batch_size` frames in total from `waiting`, and errors between them."""
    frames = 0
    while frames < batch_size and (future := waiting.popleft().result()):
        shown = future.result()
        frames += 0 if isinstance(shown, UserError) else len(shown.frames)
        yield shown


def _predict(
    batch: list[Shown | UserError], levels: Callable[[np.ndarray], np.ndarray]
) -> Iterator[Prediction | UserError]:
    frames = [each.frames for each in batch if isinstance(each, Shown)]
    of_frames = iter(levels(np.concatenate(frames))) if frames else iter(())
    for each in batch:
        if isinstance(each, UserError):
            yield each
        else:
            own = np.stack([*islice(of_frames, len(each.frames))])
            yield Prediction(each.height, each.width, own.mean(axis=0), each.notes)
