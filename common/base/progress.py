"""Progress: a bar on a terminal, and elsewhere lines in the log."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

_SECONDS = 60  # between two lines
_log = logging.getLogger(__name__)


class Progress(tqdm):
    """A tqdm bar on a terminal; elsewhere a line at the start and one per minute, at level INFO."""

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
        self._name, self._unit, self._last_line = desc, unit, time.monotonic()
        if self.disable:
            _log.info("%s: %s %ss", desc, "some" if total is None else total, unit)

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
        if time.monotonic() - self._last_line >= _SECONDS:
            self._last_line = time.monotonic()
            _log.info("%s: %s of %s %ss", self._name, self.n, self.total, self._unit)
        return None
