"""Commands as a user runs them: processes with their output, and what they took."""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


# What predicting says of the device; without OpenVINO, as for Python 3.9, Keras does it.
# On a slow machine it also reports progress.
PREDICTS = (
    r"Running on the CPU with (OpenVINO in float32\.|Keras in float32\. OpenVINO, .*)\n"
    r"(test: .*\n)*"
)


# Progress of `prepare`, which is logged on a slow machine.
PROGRESS = r"((frames|files|clips): \d+ of \d+ items\n)*"


@dataclass
class Finished:
    """What a process left behind: exit code, output, CPU seconds and peak memory in GB."""

    returncode: int
    stdout: str
    stderr: str
    cpu: float
    memory: float


# A small process in between: Linux counts what a parent held when it forked as its child's.
MEASURED = """
import json, os, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9], file)
"""


def run(*arguments: object, cwd: Path = REPO, env: dict | None = None) -> Finished:
    """`python ARGUMENTS` as a user runs it, in `env` besides this process's environment."""
    with tempfile.NamedTemporaryFile() as measured:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", MEASURED, measured.name, sys.executable]
            + [str(argument) for argument in arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
        )
        code, cpu, memory = json.load(measured)
    return Finished(code, done.stdout, done.stderr, cpu, memory)


def without_progress(stderr: str) -> list[str]:
    """The lines of `stderr` but for those that a slow machine adds."""
    return [line for line in stderr.splitlines() if not re.search(r": \d+ of \d+ \w+$", line)]


def one_line(finished: Finished, code: int, *parts: object) -> None:
    """It ended with `code`, and all it said is one line on stderr that holds the `parts`."""
    assert finished.returncode == code, finished.stderr
    assert finished.stdout == ""
    stages = "Running on ", "Predicting "  # which the log tells before
    lines = [line for line in without_progress(finished.stderr) if not line.startswith(stages)]
    assert len(lines) == 1, finished.stderr
    for part in parts:
        assert str(part) in lines[0]
