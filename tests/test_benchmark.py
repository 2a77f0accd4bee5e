"""The benchmark's lines say what they seem to say."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from common.errors import UserError
from common.evaluation.speed import in_own_process


@pytest.mark.parametrize("what", ["predict", "train"])
def test_it_prints_both_speeds_and_their_ratio(what, command):
    finished = command("-m", "common.benchmark", what, "--models", "LAT", "--frames", 2)
    assert finished.returncode == 0, finished.stderr
    last = finished.stdout.splitlines()[-1].split()
    name, frames, ours, our_memory, keras, keras_memory, ratio = last
    assert (name, frames) == ("LAT", "2")
    assert float(ratio) == pytest.approx(float(ours) / float(keras), rel=0.05)
    # TensorFlow alone takes 0.3 GB, and a batch of 2 latents far less than 2.5.
    assert 0.3 < float(our_memory) < 2.5
    assert 0.3 < float(keras_memory) < 4


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
    _, more = in_own_process(bytes, 10**8)  # which is also sent back
    assert little < 0.2
    assert 0.1 < more < 0.5
    assert held.all()
