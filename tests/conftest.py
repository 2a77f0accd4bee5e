"""Fixtures that every test may ask for."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import hypothesis
import pytest
from PIL import Image

from common.base.constants import QP
from common.data.manifest import COLUMNS, write_manifest
from common.models.labels import PROXY
from tests import golden
from tests.processes import REPO, Finished, run

# Tests that run side by side share the cores, rather than each take all of them.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    cores = max(1, os.cpu_count() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(cores)

# Before any test imports OpenVINO, as this project does: its telemetry forks processes, which can
# hang, and calls home.
sys.modules.setdefault("openvino_telemetry", None)

# A shell's background job ignores Ctrl-C, and so would every command that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failing test.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A folder that all workers of a run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def made_once(run_folder):
    """Let the first worker of a run that asks make a folder, which no test changes."""

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = run_folder / name, run_folder / f"{name}.done"
        with open(run_folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session", autouse=True)
def model_cache(run_folder) -> Path:
    """The cache of converted models, which all tests of a run share, and the user's stays out."""
    os.environ["XDG_CACHE_HOME"] = str(run_folder / "cache")
    return run_folder / "cache" / "laser-jnd"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real labels, photographs and clips, which are not part of the repository."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared here")
    return folder


@pytest.fixture(scope="session")
def command():
    """`processes.run`: `python ARGUMENTS` as a user runs it."""
    return run


@pytest.fixture
def in_process(capsys):
    """What `command` does for one of the six scripts, but here, where TensorFlow is loaded.

    Loading it takes as long as many a test. Each script is also run as a process by some test.
    """
    from common.base.framework import tf
    from common.commands.main import main

    def run(script, *arguments) -> subprocess.CompletedProcess:
        capsys.readouterr()
        tf.keras.backend.clear_session()  # numbers layers from 1 again, as a new process does
        try:
            code = main(script.removesuffix(".py"), list(map(str, arguments)))
        except SystemExit as stopped:
            code = stopped.code
        finally:
            tf.keras.mixed_precision.set_global_policy("float32")
        return subprocess.CompletedProcess((script, *arguments), code, *capsys.readouterr())

    return run


@pytest.fixture
def no_tensorflow(tmp_path) -> dict:
    """An environment in which importing TensorFlow fails the process."""
    return _without(tmp_path, "tensorflow")


@pytest.fixture
def standard_library(tmp_path) -> dict:
    """An environment in which importing what takes long to load fails the process."""
    return _without(tmp_path, "tensorflow", "numpy", "PIL", "natsort")


@pytest.fixture
def missing(tmp_path):
    """Give the environment in which a package is not installed."""

    def without(package: str) -> dict:
        error = f"raise ModuleNotFoundError('No module named {package}', name='{package}')"
        (tmp_path / f"{package}.py").write_text(error)
        return {"PYTHONPATH": str(tmp_path)}

    return without


def _without(folder: Path, *packages: str) -> dict:
    traps = folder / "traps"
    traps.mkdir()
    for package in packages:
        (traps / f"{package}.py").write_text(f"raise SystemExit('{package} was imported')")
    return {"PYTHONPATH": str(traps)}


@pytest.fixture
def small_disk(tmp_path):
    """Give a folder with so much room ('20m') and no more."""
    folder = tmp_path / "disk"

    def mounted(size: str) -> Path:
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no right to mount a small disk")
        return folder

    yield mounted
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


PROXY_LABELS = "proxy labels (VMAF below 94.5, 91.25, 87), not viewers' judgements"


@pytest.fixture(scope="session")
def labelled_root(made_once) -> Path:
    """The three seeded frames, of two contents, with proxy labels."""
    return made_once("root", _write_labelled_root)


def _write_labelled_root(folder: Path) -> None:
    (folder / "test").mkdir()
    contents = [("a", (24, 30, 36)), ("a", (25, 31, 35)), ("b", (30, 34, 38))]
    frames = golden.frames()
    rows = []
    for number, (content, levels) in enumerate(contents):
        file = f"test/{number}.png"
        Image.fromarray(frames[number][..., ::-1]).save(folder / file)
        named = {f"jnd{order}": str(level) for order, level in enumerate(levels, 1)}
        told = {"file": file, "content": content, "codec": QP, "level_kind": PROXY}
        told["thresholds"] = "94.5/91.25/87"
        rows.append({**dict.fromkeys(COLUMNS, ""), **told, **named})
    write_manifest(folder, rows)
    lines = [" ".join(map(str, levels)) for _, levels in contents]
    (folder / "test" / "JND-Levels.txt").write_text("\n".join(lines))


@pytest.fixture(scope="session")
def mj_weights(made_once) -> Path:
    """Seeded weights of MJ-LAT as training names them, so that they might be MJ-REC's too."""
    return made_once("mj", lambda folder: golden.write_weights("MJLAT", folder / "BestModel.h5"))


@pytest.fixture(scope="session")
def report(made_once, labelled_root, mj_weights):
    """A finished `python3 -m common.tables`, and the folder it wrote."""

    def make(folder: Path) -> None:
        given = "--data_dir", labelled_root, "--model_weights_path", mj_weights
        finished = run("-m", "common.tables", *given, "--out", folder / "new" / "out")
        (folder / "finished.json").write_text(json.dumps(asdict(finished)))

    folder = made_once("report", make)
    return Finished(**json.loads((folder / "finished.json").read_text())), folder / "new" / "out"


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file of LAT's golden weights for JND1."""
    path = tmp_path_factory.mktemp("weights") / "LATJND1.h5"
    golden.write_weights("LAT", path)
    return path
