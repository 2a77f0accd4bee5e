"""Frames made by the workers of a Dask cluster: real processes on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.processes import REPO, one_line
from tests.synthetic import picture

CROPS = 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(4):
        Image.fromarray(picture(number, 352, 640)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def plain(pictures, command, tmp_path_factory) -> dict[Path, bytes]:
    """What a run without a cluster makes."""
    root = tmp_path_factory.mktemp("plain") / "root"
    done = command(*_prepare(pictures, root))
    assert done.returncode == 0, done.stderr
    return _files(root)


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler, and its two workers."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    found = ["--scheduler-file", str(file)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": REPO}
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", "--port", "0", *here, *found], **quiet)
    worker = [*dask, "worker", *found, *here, "--no-nanny", "--nthreads", "1"]
    worker += ["--local-directory", str(tmp_path / "workers")]
    workers = [subprocess.Popen(worker, **quiet) for _ in range(2)]
    from distributed import Client

    while not file.exists():
        time.sleep(0.05)
    with Client(scheduler_file=str(file)) as client:
        client.wait_for_workers(2, timeout=60)
        address = client.scheduler.address
    yield address, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def _prepare(pictures: Path, root: Path, *more: object) -> list[object]:
    asked = ["-m", "common.prepare", "photos", "--images", pictures, "--crops", CROPS]
    return [*asked, "--out", root, *more]


def _files(root: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_two_workers_make_what_one_process_makes(pictures, plain, cluster, command, tmp_path):
    root = tmp_path / "root"
    # As users name folders: from where they are.
    images, out = (Path(os.path.relpath(path, REPO)) for path in (pictures, root))
    asked = _prepare(images, out, "--scheduler", cluster[0])
    done = command(*asked)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert _files(root) == plain


def test_a_killed_worker_loses_nothing(pictures, plain, cluster, tmp_path):
    root = tmp_path / "root"
    address, workers = cluster
    asked = map(str, _prepare(pictures, root, "--scheduler", address))
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, *asked], cwd=REPO, **pipes)
    while len(list(root.glob(".prepare/frames/*.json"))) < 3:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)
    assert not (root / "manifest.csv").exists(), "killed too late"
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert _files(root) == plain


def test_what_is_not_there_is_one_line(pictures, command, missing, tmp_path):
    nobody = "tcp://127.0.0.1:9"
    asked = _prepare(pictures, tmp_path / "root", "--scheduler", nobody)
    one_line(command(*asked), 1, nobody, "no Dask scheduler answers there")
    one_line(command(*asked, env=missing("distributed")), 1, "pip install distributed")
