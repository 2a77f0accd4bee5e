"""Killed at any instant, again and again, a command goes on and ends with the same result.

It leaves the files of an undisturbed run and nothing else, neither there nor among the temporary
ones. KILLS=4 in the environment kills each command so many times, 40 in all, at instants that
follow from its name. Else two that are quick are killed once: trainings are killed in
test_reconstruct.py and test_training.py, too, and tables stopped in test_tables.py.
"""

import hashlib
import os
import random
import re
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

from common.video.ffmpeg import binary
from tests import golden
from tests.processes import REPO
from tests.synthetic import picture

KILLS = int(os.environ.get("KILLS", 0))
SIZES = {"train": 6, "valid": 2, "test": 2}


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
    made = ["-f", "lavfi", "-i", "testsrc2=s=320x176:r=10:d=2", "-pix_fmt", "yuv420p", "-qp", "5"]
    clip = folder / "pictures/clip.mp4"
    subprocess.run([binary("libx264"), "-loglevel", "error", *made, clip], check=True)
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


def _frames(name: str) -> Callable[[Path], dict]:
    """The pixels of a video, and when each frame is shown."""

    def of(folder: Path) -> dict:
        command = [binary("libx264"), "-loglevel", "error", "-i", folder / name]
        command += ["-f", "framehash", "-"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return {name: done.stdout}

    return of


def _tables(folder: Path) -> dict:
    """Errors and qualities; what a prediction costs is measured anew."""
    names = ("prediction_error", "quality_error", "bitrate")
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in names}
    return {
        name: table.drop(columns="cpu_seconds", errors="ignore").to_csv()
        for name, table in tables.items()
    }


def _train(given: Path, out: Path, *options: object) -> list:
    return [
        "LAT.py", "train", "--jnd_value", "JND1", "--data_dir", given / "root",
        "--checkpoint_path", out, "--csv_log_path", out, "--batch_size", 2, "--epochs", 3,
        "--JND_Recon_Models_Path", given / "backbones", "--resume", *options,
    ]  # fmt: skip


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
    "prepare --vary": Killed(
        lambda given, out: [
            "-m", "common.prepare", "photos", "--images", given / "pictures", "--out", out,
            "--crops", 1, "--vary", 1, "--split", "60/20/20",
        ],
        _bytes("**/*", ".prepare/**/*"),
    ),
    "train": Killed(_train, _training("stateJND1.npz", "BestModelJND1.h5")),
    "train with soft targets": Killed(
        lambda given, out: _train(
            given, out, "--cache_dir", out / "cache", "--soft_targets", 0.5, "--roll", "--mirror"
        ),
        _training("stateJND1.npz", "BestModelJND1.h5"),
    ),
    "predict": Killed(
        lambda given, out: [
            "LAT.py", "predict", "--jnd_value", "JND1", "--model_weights_path", given / "weights",
            given / "pictures", "--csv", out / "levels.csv",
        ],
        _bytes("levels.csv"),
    ),
    "encode": Killed(
        lambda given, out: [
            "MJLAT.py", "encode", given / "pictures/clip.mp4", out / "clip.mkv", "--overwrite",
        ],
        _frames("clip.mkv"),
    ),
    "compress": Killed(
        lambda given, out: [
            "-m", "common.reconstruct", "compress", "--model", "MJLAT", "--out", out,
            *(given / f"pictures/{number}.png" for number in range(3)),
        ],
        _bytes("*.latent"),
    ),
    "tables": Killed(
        lambda given, out: [
            "-m", "common.tables", "--data_dir", given / "root", "--out", out,
            "--model_weights_path", given / "weights",
        ],
        _tables,
    ),
}  # fmt: skip


def _start(arguments: list, temporary: Path) -> subprocess.Popen:
    # In a session of its own, so that what it started is killed with it.
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=REPO,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _names(folder: Path) -> set[str]:
    """All that is in a folder, but for locks, which are free once nobody holds them."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    others = re.compile(r"(.*/)?(.*\.lock|lock)")
    return {name for name in names if not others.fullmatch(name)}


@pytest.mark.parametrize("name", COMMANDS if KILLS else ["prepare", "predict"])
def test_killed_and_run_again_it_ends_with_the_same(name, given, tmp_path):
    arguments, result = COMMANDS[name]
    start, temporary = time.monotonic(), tmp_path / "temporary"
    undisturbed = _start(arguments(given, tmp_path / "undisturbed"), temporary)
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
            process = _start(arguments(given, folder), temporary)
            try:
                process.communicate(timeout=chance.uniform(0.1, 0.9) * took)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                killed += 1
            if killed == (KILLS or 1) or process.returncode == 0:
                break
        finished = _start(arguments(given, folder), temporary)
        _, said = finished.communicate()
        assert finished.returncode == 0, said
        assert result(folder) == expected
        assert _names(folder) == _names(tmp_path / "undisturbed")
        # Only trainings keep TensorFlow's generated sources in a temporary folder of ours.
        others = () if "train" in arguments(given, folder) else ("__autograph_", "__pycache__")
        assert not {name for name in _names(temporary) if not name.startswith(others)}
