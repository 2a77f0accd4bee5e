"""Frames made and levels predicted by the workers of a Dask cluster: processes on loopback."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from common.base.errors import UserError
from common.base.parallel import cluster_map
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
def cluster(tmp_path, monkeypatch):
    """The address of a scheduler, and its two workers, which find the clone but are elsewhere."""
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    with _started(tmp_path, REPO, [tmp_path, tmp_path]) as started:
        yield started


@contextlib.contextmanager
def _started(folder: Path, place: Path, places: list[Path]) -> Iterator[tuple]:
    """A scheduler started in `place`, by its address, and workers started in `places`."""
    from distributed import Client

    file, dask = folder / "scheduler.json", [sys.executable, "-m", "dask"]
    found = ["--scheduler-file", str(file)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    ours = [*dask, "scheduler", "--port", "0", *here, *found]
    worker = [*dask, "worker", *found, *here, "--no-nanny", "--nthreads", "1"]
    worker += ["--local-directory", str(folder / "workers")]
    processes = [subprocess.Popen(ours, cwd=place, **quiet)]
    processes += [subprocess.Popen(worker, cwd=each, **quiet) for each in places]
    try:
        while not file.exists():
            time.sleep(0.05)
        with Client(scheduler_file=str(file)) as client:
            if places:
                client.wait_for_workers(len(places), timeout=60)
            address = client.scheduler.address
        yield address, processes[1:]
    finally:
        for process in processes:
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
    assert re.fullmatch(r"(frames: \d+ of 24 items\n)*", done.stderr)
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


@pytest.mark.tensorflow
def test_two_workers_predict_what_one_process_predicts(pictures, cluster, command, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    paths = [os.path.relpath(path, REPO) for path in (pictures, tmp_path / "broken.png")]
    asked = ["MJLAT.py", "predict", *paths, "--json"]
    alone, spread = (command(*asked, *more) for more in ([], ["--scheduler", cluster[0]]))
    assert alone.returncode == spread.returncode == 1, spread.stderr
    one, other = (json.loads(done.stdout) for done in (alone, spread))
    assert [each["file"] for each in other["inputs"]] == [each["file"] for each in one["inputs"]]
    assert len(other["inputs"]) == 4
    assert other["inputs"] == one["inputs"]
    (error,) = other["errors"]
    assert error["file"] == paths[1]
    assert str(REPO / paths[1]) in error["error"]
    assert error["error"] in spread.stderr


def test_what_is_not_there_is_one_line(pictures, command, missing, tmp_path):
    nobody = "tcp://127.0.0.1:9"
    asked = _prepare(pictures, tmp_path / "root", "--scheduler", nobody)
    one_line(command(*asked), 1, nobody, "no Dask scheduler answers there")
    one_line(command(*asked, env=missing("distributed")), 1, "pip install distributed")


@pytest.mark.parametrize(
    "scheduler_in_clone, workers_in_clone, said",
    [
        (True, [], "it has no workers"),
        (False, [True], "start it in a clone"),
        (True, [False], "No module named 'common'"),
    ],
)
def test_who_cannot_work_is_named(
    pictures, command, tmp_path, scheduler_in_clone, workers_in_clone, said
):
    where = {True: REPO, False: tmp_path}
    workers = [where[each] for each in workers_in_clone]
    with _started(tmp_path, where[scheduler_in_clone], workers) as (address, _):
        done = command(*_prepare(pictures, tmp_path / "root", "--scheduler", address))
    one_line(done, 1, said)


def test_a_worker_that_sees_another_folder_is_named(cluster):
    """What a worker sees is compared by itself: this one's process is another."""
    address, _ = cluster
    with pytest.raises(UserError, match=r"^worker tcp://\S+: process is \d+, not \d+$"):
        cluster_map(address, lambda: {"process": os.getpid()}, str, [1], "")
