"""The benchmark's lines say what they seem to say."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.evaluation.speed import in_own_process
from tests.processes import REPO


@pytest.mark.parametrize("what", ["predict", "train"])
def test_it_prints_and_saves_both_speeds_and_their_ratio(what, command, tmp_path):
    saved = tmp_path / "speed.csv"
    asked = "--models", "LAT", "--frames", 2, "--save", saved
    finished = command("-m", "common.benchmark", what, *asked)
    assert finished.returncode == 0, finished.stderr
    last = finished.stdout.splitlines()[-1].split()
    name, frames, ours, our_memory, keras, keras_memory, ratio = last
    assert (name, frames) == ("LAT", "2")
    assert float(ratio) == pytest.approx(float(ours) / float(keras), rel=0.05)
    # TensorFlow alone takes 0.3 GB, and a batch of 2 latents far less than 2.5.
    assert 0.3 < float(our_memory) < 2.5
    assert 0.3 < float(keras_memory) < 4
    (row,) = pd.read_csv(saved).to_dict("records")
    assert (row["command"], row["model"], row["frames"]) == (what, "LAT", 2)
    assert row["frames_per_second"] == pytest.approx(float(ours), rel=0.01, abs=0.01)
    assert row["keras_float32_times_as_fast"] == pytest.approx(float(ratio), rel=0.01, abs=0.01)


def test_in_bfloat16_keras_is_measured_in_both(command):
    asked = "--models", "LAT", "--frames", 2, "--precision", "bfloat16"
    finished = command("-m", "common.benchmark", "predict", *asked)
    assert finished.returncode == 0, finished.stderr
    _, _, ours, _, *keras = finished.stdout.splitlines()[-1].split()
    for speed, ratio in (keras[0::3][:1] + keras[2::3][:1], [keras[3], keras[5]]):
        assert float(ratio) == pytest.approx(float(ours) / float(speed), rel=0.05)


def test_an_unknown_model_is_a_usage_error(command):
    finished = command("-m", "common.benchmark", "predict", "--models", "CAT")
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert "CAT" in finished.stderr


def test_a_killed_measurement_is_told():
    with pytest.raises(UserError, match=r"measuring 9: killed"):
        in_own_process(os._exit, 9)


def test_a_failed_measurement_ends_the_benchmark():
    with pytest.raises(SystemExit, match="no weights"):
        in_own_process(sys.exit, "no weights")


def test_memory_is_that_of_the_measured_process_alone():
    held = np.ones(10**9, np.uint8)
    _, little = in_own_process(abs, -3)
    _, more = in_own_process(operator.mul, b"x", 10**8)
    assert little < 0.2
    assert 0.1 < more < 0.5
    assert held.all()


@pytest.mark.parametrize("ending, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_at_once_and_leaves_nothing(tmp_path, ending, code):
    """Asked to end, and asked again: as by two Ctrl-C, which a terminal sends to every process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "common.benchmark", "train", "--models", "LAT", "--frames", "64"],
        cwd=REPO,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list(tmp_path.rglob("*.png")):
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(process.pid, ending) if ending == signal.SIGINT else process.send_signal(ending)
        time.sleep(0.02)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (code, "python3 -m common.benchmark: interrupted\n")
    assert not list(tmp_path.iterdir())
