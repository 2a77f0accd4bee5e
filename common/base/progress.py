"""Progress: a bar on a terminal, and elsewhere lines in the log."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

_FIRST, _SECONDS = 10, 60  # until the first line, and between two lines: short work prints none
_log = logging.getLogger(__name__)


class Progress(tqdm):
    """A tqdm bar on a terminal; elsewhere lines in the log, at level INFO.

    The first line comes after ten seconds, then one comes per minute.
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
        super().__init__(items, desc, total, unit=unit, leave=False, disable=None)
        self._name, self._unit, self._next_line = desc, unit, time.monotonic() + _FIRST
        if self.disable:
            _log.debug("%s: %s %ss", desc, "some" if total is None else total, unit)

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
            self._next_line = time.monotonic() + _SECONDS
            _log.info("%s: %s of %s %ss", self._name, self.n, self.total, self._unit)
        return None
