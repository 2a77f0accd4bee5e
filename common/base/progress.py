"""Progress bars, which become lines in the log if stderr is not a terminal."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

_FIRST, _INTERVAL = 10, 60  # seconds until the first line, and between lines
_log = logging.getLogger(__name__)


class Progress(tqdm):
    """A tqdm bar on a terminal; elsewhere a line in the log after 10 seconds and every minute.

    With --quiet, there is neither.
    """

    def __init__(
        self,
        items: Iterable | None = None,
        desc: str = "",
        total: int | None = None,
        unit: str = "item",
    ):
        if total is None and isinstance(items, Sized):
            total = len(items)
        disable = None if _log.isEnabledFor(logging.WARNING) else True  # None: if no terminal
        super().__init__(items, desc, total, unit=unit, leave=False, disable=disable)
        self._name, self._whole = desc, f"{'?' if total is None else total} {unit}s"
        self._next_line = time.monotonic() + _FIRST

    def __iter__(self) -> Iterator[Any]:
        if not self.disable:
            yield from super().__iter__()
            return
        for item in self.iterable:
            yield item
            self.update()

    def update(self, n: float | None = 1) -> bool | None:
        """Count `n` more items as done."""
        if not self.disable:
            return super().update(n)
        self.n += n
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _INTERVAL
            _log.info("%s: %s of %s", self._name, self.n, self._whole)
        return None
