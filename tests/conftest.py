"""Fixtures that every test may ask for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no failing test.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real labels, photographs and clips, which are not part of the repository."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared here")
    return folder


@pytest.fixture(scope="session")
def command():
    """Run `python ARGS` as a user would: a finished process with its output as text."""

    def run(*args, cwd=REPO, env=None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, args)], cwd=cwd, env=env, capture_output=True, text=True
        )

    return run
