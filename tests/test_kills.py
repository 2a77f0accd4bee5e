"""Killed at any instant, again and again, a command goes on and ends with the same result.

KILLS=13 in the environment kills each so many times. Else only one is killed, once: trainings are
killed in test_reconstruct.py and test_training.py, too, and tables stopped in test_tables.py.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests import golden
from tests.processes import REPO
from tests.synthetic import picture

KILLS = int(os.environ.get("KILLS", 0))
SIZES = {"train": 4, "valid": 2, "test": 2}


class Killed(NamedTuple):
    """A command that writes to a folder, and what must be the same in the end."""

    arguments: Callable[[Path, Path], list]
    """From the folder with what it needs, and that to write to."""
    result: Callable[[Path], dict]
    """Of the folder it wrote to, things to be compared by `==`."""


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """Pictures, a ROOT, backbones and weights."""
    folder = tmp_path_factory.mktemp("given")
    for name in ("pictures", "backbones", "weights"):
        (folder / name).mkdir()
    for number in range(3):
        Image.fromarray(picture(number, 120, 200)).save(folder / f"pictures/{number}.png")
    for split, count in SIZES.items():
        (folder / "root" / split).mkdir(parents=True)
        for number in range(count):
            frame = 150 + picture(10 * len(split) + number) // 4
            Image.fromarray(frame).save(folder / f"root/{split}/{number}.png", compress_level=1)
        levels = "".join(f"{25 + number} {30 + number} {35 + number}\n" for number in range(count))
        (folder / f"root/{split}/JND-Levels.txt").write_text(levels)
    golden.write_weights("Backbone", folder / "backbones/JND1Reconstruction.h5")
    golden.write_weights("LAT", folder / "weights/LATJND1.h5")
    return folder


def _bytes(*patterns: str) -> Callable[[Path], dict]:
    """The checksums of files."""

    def of(folder: Path) -> dict:
        paths = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
        assert paths
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
        }

    return of


def _training(*names: str) -> Callable[[Path], dict]:
    """The values in states and weight files, and the logs."""

    def of(folder: Path) -> dict:
        found = {path.name: path.read_text() for path in folder.glob("*.csv")}
        for name in names:
            if name.endswith(".npz"):
                with np.load(folder / name) as arrays:
                    found[name] = {key: arrays[key].tobytes() for key in arrays.files}
                continue
            with h5py.File(folder / name) as file:
                values = found[name] = {}

                def keep(key: str, node: object, values: dict = values) -> None:
                    if isinstance(node, h5py.Dataset):
                        values[key] = node[()].tobytes()

                file.visititems(keep)
        return found

    return of


def _tables(folder: Path) -> dict:
    """Errors and qualities; what a prediction costs is measured anew."""
    names = ("prediction_error", "quality_error", "bitrate")
    return {name: pd.read_csv(folder / f"{name}.csv").to_csv() for name in names}


COMMANDS = {
    "prepare": Killed(
        lambda given, out: [
            "-m", "common.prepare", "photos", "--images", given / "pictures", "--out", out,
            "--crops", 2, "--keep_size", "--split", "60/20/20",
        ],
        _bytes("**/*", ".prepare/**/*"),
    ),
    "reconstruct": Killed(
        lambda given, out: [
            "-m", "common.reconstruct", "train", "--target", "Img", "--data_dir", given / "root",
            "--checkpoint_path", out, "--csv_log_path", out, "--crop", 64, "--batch_size", 2,
            "--epochs", 3, "--resume",
        ],
        _training(
            "ImgReconstruction.state.npz", "ImgReconstruction.entropy.npz", "ImgReconstruction.h5"
        ),
    ),
    "train": Killed(
        lambda given, out: [
            "LAT.py", "train", "--jnd_value", "JND1", "--data_dir", given / "root",
            "--checkpoint_path", out, "--csv_log_path", out, "--batch_size", 2, "--epochs", 3,
            "--JND_Recon_Models_Path", given / "backbones", "--resume",
        ],
        _training("stateJND1.npz", "BestModelJND1.h5"),
    ),
    "tables": Killed(
        lambda given, out: [
            "-m", "common.tables", "--data_dir", given / "root", "--out", out,
            "--model_weights_path", given / "weights",
        ],
        _tables,
    ),
}  # fmt: skip


def _start(arguments: list) -> subprocess.Popen:
    # In a session of its own, so that what it started is killed with it.
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=REPO,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("name", COMMANDS if KILLS else ["prepare"])
def test_killed_and_run_again_it_ends_with_the_same(name, given, tmp_path):
    arguments, result = COMMANDS[name]
    start = time.monotonic()
    undisturbed = _start(arguments(given, tmp_path / "undisturbed"))
    _, said = undisturbed.communicate()
    assert undisturbed.returncode == 0, said
    took = time.monotonic() - start
    expected = result(tmp_path / "undisturbed")

    chance, killed, round_ = random.Random(name), 0, 0
    while killed < (KILLS or 1):
        # Five times the same folder, then another: later instants are seen, and early ones anew.
        round_ += 1
        folder = tmp_path / f"killed{round_}"
        for _ in range(5):
            process = _start(arguments(given, folder))
            try:
                process.communicate(timeout=chance.uniform(0.1, 0.9) * took)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                killed += 1
            if killed == (KILLS or 1) or process.returncode == 0:
                break
        finished = _start(arguments(given, folder))
        _, said = finished.communicate()
        assert finished.returncode == 0, said
        assert result(folder) == expected
        assert not [path for path in folder.rglob("*") if path.name.startswith(".laser-jnd-")]
