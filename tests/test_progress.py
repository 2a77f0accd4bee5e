"""Progress where there is no terminal: a line after ten seconds, and then one per minute."""

import io
import logging

from common.base import progress
from common.base.progress import Progress


def test_a_line_after_ten_seconds_and_one_per_minute(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO):
        for _ in Progress(range(8), "encoding", unit="frame"):
            now[0] += 25
        for _ in Progress(iter(range(8)), "looking at 100 % of them"):
            now[0] += 1
        with Progress(desc="training", total=200, unit="step") as bar:
            now[0] += 70
            bar.update(90)
    assert caplog.messages == [
        "encoding: 1 of 8 frames",
        "encoding: 4 of 8 frames",
        "encoding: 7 of 8 frames",
        "training: 90 of 200 steps",
    ]


def test_quiet_commands_have_no_bar(monkeypatch, caplog):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for level, shows in ((logging.INFO, True), (logging.ERROR, False)):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        with caplog.at_level(level, progress.__name__):
            assert [*Progress(range(3), "frames")] == [0, 1, 2]
        assert ("frames" in terminal.getvalue()) == shows
