"""The benchmark's lines say what they seem to say."""

import operator
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.errors import UserError
from common.evaluation.speed import run_in_own_process
from common.video.probe import probe
from common.video.scenes import find_scenes
from tests.processes import REPO
from tests.synthetic import picture


@pytest.mark.parametrize("what", ["predict", "train", "backbone"])
def test_it_prints_and_saves_both_speeds_and_their_ratio(what, command, tmp_path):
    saved, model = tmp_path / "speed.csv", "Img" if what == "backbone" else "LAT"
    asked = *([] if what == "backbone" else ["--models", model]), "--frames", 2, "--save", saved
    finished = command("-m", "tools.benchmark", what, *asked)
    assert finished.returncode == 0, finished.stderr
    last = finished.stdout.splitlines()[-1].split()
    name, frames, ours, our_memory, keras, keras_memory, ratio = last
    assert (name, frames) == (model, "2")
    assert float(ratio) == pytest.approx(float(ours) / float(keras), rel=0.05)
    # OpenVINO alone takes 0.1 GB, TensorFlow 0.3, and a batch of 2 latents far less than 2.5.
    assert 0.1 < float(our_memory) < 2.5
    assert 0.3 < float(keras_memory) < 4
    (row,) = pd.read_csv(saved).to_dict("records")
    assert (row["command"], row["model"], row["frames"]) == (what, model, 2)
    assert row["frames_per_second"] == pytest.approx(float(ours), rel=0.01, abs=0.01)
    assert row["keras_float32_times_as_fast"] == pytest.approx(float(ratio), rel=0.01, abs=0.01)


def test_in_bfloat16_keras_is_measured_in_both(command):
    asked = "--models", "LAT", "--frames", 2, "--precision", "bfloat16"
    finished = command("-m", "tools.benchmark", "predict", *asked)
    assert finished.returncode == 0, finished.stderr
    head, _, last = finished.stdout.splitlines()
    _, _, ours, _, *keras = map(float, ["nan", *last.split()[1:]])
    ratios = keras[2::3]
    assert ratios == pytest.approx([ours / speed for speed in keras[::3]], rel=0.05)
    # What has no bfloat16 arithmetic is measured in float32, once, and said to be.
    in_bfloat16 = "ours: bfloat16" in head
    assert in_bfloat16 == ("Running on the CPU with OpenVINO in bfloat16" in finished.stderr)
    assert len(ratios) == 1 + in_bfloat16


def test_keras_in_bfloat16_computes_in_it():
    from common.base.framework import tf
    from tools.comparison import predict_with_keras

    try:
        assert predict_with_keras("LAT", 1, "bfloat16") > 0
        assert tf.keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


def test_an_unknown_model_is_a_usage_error(command):
    finished = command("-m", "tools.benchmark", "predict", "--models", "CAT")
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert "CAT" in finished.stderr


def test_a_killed_measurement_is_told():
    with pytest.raises(UserError, match=r"measuring 9: killed"):
        run_in_own_process(os._exit, 9)


def test_a_failed_measurement_ends_the_benchmark():
    with pytest.raises(SystemExit, match="no weights"):
        run_in_own_process(sys.exit, "no weights")


def test_memory_is_that_of_the_measured_process_alone():
    held = np.ones(10**9, np.uint8)
    _, little = run_in_own_process(abs, -3)
    _, more = run_in_own_process(operator.mul, b"x", 10**8)
    assert little < 0.2
    assert 0.1 < more < 0.5
    assert held.all()


@pytest.mark.parametrize("ending, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_at_once_and_leaves_nothing(tmp_path, ending, code):
    """Asked to end, and asked again: as by two Ctrl-C, which a terminal sends to every process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.benchmark", "train", "--models", "LAT", "--frames", "64"],
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
    interrupted = "python3 -m tools.benchmark: interrupted\n"
    assert (process.returncode, said) == (code, f"Running on the CPU in float32.\n{interrupted}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("measure", ["views", "deliver", "decide"])
def test_pictures_that_are_too_small_are_reported(tmp_path, measure):
    """Before anything is measured, and by the sizes that are needed."""
    from tools.deliveries import measure_deliveries
    from tools.measuring import MEASURES

    of_clips = {"videos": None, "height": 360, "seconds": 5}
    measures = {**MEASURES, "deliver": partial(measure_deliveries, **of_clips)}
    for number in range(3):
        Image.fromarray(picture(number, 96, 160)).save(tmp_path / f"{number}.png")
    pictures = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"0 of 3 pictures are at least \d+x\d+; \d are needed"):
        measures[measure](None, pictures, 2)
    pictures[1].write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"1\.png: cannot be read as an image"):
        measures[measure](None, pictures, 2)


def test_a_clip_pans_over_a_picture_in_each_five_seconds(tmp_path):
    from tools.samples import make_clips

    pictures = [tmp_path / f"{number}.png" for number in range(3)]
    for grey, path in zip((60, 120, 180), pictures):
        Image.new("RGB", (1500, 720), (grey, grey, grey)).save(path)
    (short,) = make_clips(pictures, tmp_path, 2, height=36)
    assert [each.end for each in find_scenes(probe(short))] == [62, 124]
    (long,) = make_clips(pictures, tmp_path, 2, height=36, seconds=15)
    assert [each.end for each in find_scenes(probe(long))] == [125, 250, 375]


def test_relative_bits_of_all_clips_are_a_geometric_mean():
    from tools.deliveries import summarize

    sizes = {"ours": (50.0, 800.0), "theirs": (100.0, 400.0)}
    rows = [
        {"way": way, "kB": size, "bits": size / other, "VMAF": 94.0 + clip, "worst": 90.0 + clip,
         "seconds": 3.0, "deciding": 1.0}
        for way, of_way in sizes.items()
        for clip, (size, other) in enumerate(zip(of_way, sizes["theirs"]))
    ]  # fmt: skip
    ours, theirs = summarize(rows).to_dict("records")
    assert (ours["bits"], theirs["bits"]) == (pytest.approx(1), 1)  # a half and a double
    assert (ours["kB"], ours["VMAF"], ours["worst"], ours["deciding"]) == (850, 94.5, 90, 2)


def test_contents_that_name_no_picture_are_told(tmp_path):
    from tools.samples import find_pictures

    Image.fromarray(picture(1, 96, 160)).save(tmp_path / "a.png")
    (tmp_path / "named.txt").write_text("a.png\n")
    assert find_pictures(tmp_path, tmp_path / "named.txt") == [tmp_path / "a.png"]
    (tmp_path / "named.txt").write_text("b.png\n")
    with pytest.raises(UserError, match=r"named\.txt: names none of the pictures in"):
        find_pictures(tmp_path, tmp_path / "named.txt")
    with pytest.raises(UserError, match=r"none\.txt: no such file"):
        find_pictures(tmp_path, tmp_path / "none.txt")
