"""Progress where there is no terminal: a line at the start, and then one per minute."""

import logging

from common.base import progress
from common.base.progress import Progress


def test_a_line_at_the_start_and_one_per_minute(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO):
        for _ in Progress(range(8), "encoding", unit="frame"):
            now[0] += 25
        with Progress(desc="training", total=200, unit="step") as bar:
            now[0] += 70
            bar.update(90)
    assert caplog.messages == [
        "encoding: 8 frames",
        "encoding: 3 of 8 frames",
        "encoding: 6 of 8 frames",
        "training: 200 steps",
        "training: 90 of 200 steps",
    ]
