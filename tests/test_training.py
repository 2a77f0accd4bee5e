"""Training the six models as a user does, interrupted and not, cached and not."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.constants import QP
from common.base.framework import tf
from common.base.temporary import remove_stale
from common.codec.entropy_model import EntropyModel
from common.models.backbone import build_backbone
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.weight_paths import entropy_file
from common.models.weights import read_weight_file, write_weights
from tests import golden
from tests.processes import REPO
from tests.test_regularisation import SETTINGS


def _make_data(root: Path, train: int, valid: int) -> Path:
    """A ROOT of noisy waves with some levels; test is valid once more."""
    frames = golden.frames()
    random = np.random.default_rng(0)
    for split, count, first in (("train", train, 0), ("valid", valid, 1), ("test", valid, 1)):
        lines = []
        for number in range(count):
            frame = np.roll(frames[number % 3], 40 * (number + count), axis=1)
            jnd_frame = np.clip(frame + random.normal(0, 5, frame.shape), 0, 255).astype(np.uint8)
            for folder, made in ((split, frame), (f"jnd1{split}", jnd_frame)):
                (root / folder).mkdir(exist_ok=True)
                image = Image.fromarray(made[..., ::-1])
                image.save(root / folder / f"{number}.png", compress_level=1)
            level = 30 - 4 * ((first + number) % 3)
            lines.append(f"{level} {level + 4} {level + 8}")
        (root / split / "JND-Levels.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return _make_data(tmp_path_factory.mktemp("data"), 4, 2)


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> dict[int, Path]:
    """Two frames, or one: what sees reconstructions takes seconds to learn from each."""
    return {count: _make_data(tmp_path_factory.mktemp("few"), count, 1) for count in (1, 2)}


@pytest.fixture(scope="module")
def backbones(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("backbones")
    golden.write_weights("Backbone", folder / "ImgReconstruction.h5")
    for level in ("JND1", "JND2", "JND3"):
        (folder / f"{level}Reconstruction.h5").symlink_to(folder / "ImgReconstruction.h5")
    return folder


def _arguments(name, data, backbones, out, *more, level="JND1", epochs=2, rate=1e-5):
    description = MODELS[name]
    value = [] if description.multitask else ["--jnd_value", level]
    return [
        f"{name}.py", "train", *value, "--data_dir", f"{data}/", "--checkpoint_path", f"{out}/c/",
        "--csv_log_path", f"{out}/l/", f"--{description.backbone_option}", f"{backbones}/",
        "--epochs", epochs, "--batch_size", 2, "--learning_rate", rate, *more,
    ]  # fmt: skip


def _weights(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, node: found.update({name: node[()]}) if hasattr(node, "dtype") else None
        )
    return found


def _same(one: Path, other: Path, tolerance: float = 0.0) -> None:
    first, second = _weights(one), _weights(other)
    assert len(first) == len(second) > 10
    for (name, a), b in zip(sorted(first.items()), (second[key] for key in sorted(second))):
        assert np.abs(a - b).max() <= tolerance, name


def _same_gradients(one: Path, other: Path) -> None:
    """Of two trainings of LAT: weights move by 1e-5 per step, too little to tell them apart.

    A maximum passes its gradient on to one place. Where two places nearly tie, rounding decides
    which, and rounding differs from batch to batch and processor to processor: so what lies before
    the maxima is compared as a whole, and only what lies behind them value by value.
    """
    first, second = (_mean_gradients(folder / "c/stateJND1.npz") for folder in (one, other))
    assert list(first) == list(second) and len(first) == 36
    for name in first:
        a, b = first[name], second[name]
        assert np.linalg.norm(a - b) <= 5e-2 * np.linalg.norm(b), name
        if name in LAST:
            assert np.abs(a - b).max() <= 1e-3 * np.abs(b).max(), name


LAST = {
    f"{name}/{kind}:0"
    for name in ("dense_8", "dense_9", "JND_output")
    for kind in ("kernel", "bias")
}


def _mean_gradients(state: Path) -> dict[str, np.ndarray]:
    """Adam's first moments by weight: they end the state, each before a second one."""
    tf.keras.backend.clear_session()
    names = [weight.name for weight in build_model(MODELS["LAT"]).whole.trainable_weights]
    with np.load(state) as arrays:
        last = len(arrays.files) - 1  # one tells what the run is
        found = [arrays[f"arr_{number}"] for number in range(last - 2 * len(names), last, 2)]
    # A bias before a normalisation has no gradient but rounding errors.
    no_gradient = [f"conv2d_{number}/bias:0" for number in (4, 5, 6, 7)]
    return {name: g for name, g in zip(names, found) if name not in no_gradient}


# What each learns from, and how far the median of these levels (30 26 22 30, 30 26, or 30) is from
# those of valid (26 22, or 26).
FRAMES = {"LAT": 4, "MJLAT": 4, "E2ELAT": 2, "REC": 2, "E2EREC": 2, "MJREC": 1}
MEDIAN_ERROR = {4: "4.00", 2: "2.00", 1: "4.00"}


@pytest.mark.parametrize("name", MODELS)
def test_two_epochs_learn_and_what_is_written_test_reads(
    name, in_process, data, few, backbones, tmp_path
):
    data = few.get(FRAMES[name], data)
    # An MJ model takes the level that picks the best epoch; MJREC shows what it does without.
    more = ["--jnd_value", "JND2"] if name == "MJLAT" else []
    done = in_process(*_arguments(name, data, backbones, tmp_path, *more))
    assert done.returncode == 0, done.stderr
    suffix = "" if MODELS[name].multitask else "JND1"
    log = pd.read_csv(tmp_path / "l" / f"logs{suffix}.csv", sep=";")
    assert log.epoch.tolist() == [1, 2]
    assert log.loss[1] < log.loss[0]
    assert (tmp_path / "l" / f"logs{suffix}.png").stat().st_size > 5000
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert re.search(r"; \d+ s, 0:\d\d:\d\d left$", lines[0])
    assert re.search(r"; \d+ s$", lines[1])
    assert "JND1" in lines[0] and f"(median {MEDIAN_ERROR[FRAMES[name]]})" in lines[0]
    assert lines[-2] == f"best epoch: {tmp_path}/c/BestModel{suffix}.h5"

    tested = in_process(*lines[-1].replace("results/", f"{tmp_path}/r").split()[2:])
    assert tested.returncode == 0, tested.stderr
    assert "inf" not in tested.stdout  # the median's error may be 0
    metrics = pd.read_csv(tmp_path / "r" / f"{suffix}test_metrics.csv", index_col="level")
    monitored = "val_JND2_output_loss" if more else "val_loss"
    best = log.loc[log[monitored].idxmin()]
    for level in metrics.index:
        column = {"MJ": f"val_{level}_output_loss", "E2": "val_JND_output_loss"}.get(name[:2])
        error = best[column or "val_loss"]
        assert metrics.mean_absolute_error[level] == pytest.approx(error, abs=2e-3)


REGULARISED = (
    *("--roll", "--mirror", "--cosine", "--cache_precision", "float16"),
    *("--dropout", 0.4, "--weight_decay", 0.02, "--batch_norm_momentum", 0.9),
)


@pytest.mark.parametrize("more", [(), REGULARISED], ids=["plain", "regularised"])
def test_killed_and_resumed_is_as_undisturbed(more, in_process, data, backbones, tmp_path):
    cache = "--cache_dir", tmp_path / "f"
    arguments = _arguments("LAT", data, backbones, tmp_path / "a", *cache, *more, epochs=2)
    assert in_process(*arguments).returncode == 0

    arguments = list(map(str, arguments))
    arguments = [text.replace(f"{tmp_path}/a/", f"{tmp_path}/b/") for text in arguments]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPO,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch 1/2"):
            time.sleep(0.05)  # into the next epoch
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    # All that TensorFlow generated is in a folder of ours, which the next run removes.
    (left,) = temporary.iterdir()
    assert list(left.glob("__autograph_generated_file*"))
    remove_stale(temporary)
    assert not list(temporary.iterdir())
    resumed = in_process(*arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    log = pd.read_csv(tmp_path / "b/l/logsJND1.csv", sep=";")
    assert log.epoch.tolist() == [1, 2]
    pd.testing.assert_frame_equal(log, pd.read_csv(tmp_path / "a/l/logsJND1.csv", sep=";"))
    with np.load(tmp_path / "a/c/stateJND1.npz") as a, np.load(tmp_path / "b/c/stateJND1.npz") as b:
        for name in a.files:
            assert np.array_equal(a[name], b[name]), name
    _same(tmp_path / "a/c/BestModelJND1.h5", tmp_path / "b/c/BestModelJND1.h5")
    assert read_weight_file(tmp_path / "b/c/BestModelJND1.h5").labels.codec == QP

    # Neither begun anew over the old, nor resumed with other settings.
    refused = in_process(*arguments)
    assert refused.returncode == 1
    assert "--resume" in refused.stderr and len(refused.stderr.splitlines()) == 1
    other = in_process(*arguments, "--resume", "--seed", 7)
    assert other.returncode == 1
    assert "was trained with seed 0, not 7" in other.stderr


def test_bfloat16_learns_with_float32_weights(in_process, few, backbones, tmp_path):
    done = in_process(*_arguments("LAT", few[2], backbones, tmp_path, "--precision", "bfloat16"))
    assert done.returncode == 0, done.stderr
    log = pd.read_csv(tmp_path / "l/logsJND1.csv", sep=";")
    assert log.loss[1] < log.loss[0]
    kernels = _weights(tmp_path / "c/BestModelJND1.h5")
    assert {value.dtype for value in kernels.values()} == {np.dtype(np.float32)}


def test_two_workers_give_the_result_of_one(in_process, data, backbones, tmp_path):
    # Small steps, and few: Adam's first ones are as large for rounding errors as for any gradient.
    common = {"epochs": 1, "rate": 1e-6}
    one = in_process(*_arguments("LAT", data, backbones, tmp_path / "one", **common))
    assert one.returncode == 0, one.stderr
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    workers = []
    for index in range(2):
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        arguments = _arguments("LAT", data, backbones, tmp_path / "two", **common)
        workers.append(
            subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                cwd=REPO,
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for worker in workers:
        _, said = worker.communicate(timeout=300)
        assert worker.returncode == 0, said
    _same(tmp_path / "one/c/BestModelJND1.h5", tmp_path / "two/c/BestModelJND1.h5", 1e-4)
    _same_gradients(tmp_path / "one", tmp_path / "two")
    one, two = (pd.read_csv(tmp_path / n / "l/logsJND1.csv", sep=";") for n in ("one", "two"))
    assert two.loss.tolist() == pytest.approx(one.loss.tolist(), rel=1e-3)


def test_a_loss_or_weights_that_are_nan_end_it(in_process, data, backbones, tmp_path):
    done = in_process(*_arguments("LAT", data, backbones, tmp_path, rate=1e30))
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert "NaN or infinite" in line and "step" in line and f"{data}/train/" in line
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["features"]


def test_a_validation_loss_that_is_no_number_is_never_the_best(
    in_process, few, backbones, tmp_path
):
    """An epoch's one step ends with weights of a million; validation overflows with them."""
    done = in_process(*_arguments("E2ELAT", few[2], backbones, tmp_path, epochs=1))
    assert done.returncode == 0, done.stderr
    kept = {path: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    state = tmp_path / "c/stateJND1.npz"
    with np.load(state) as arrays:
        about = json.loads(str(arrays["about"]))
        changed = {**about, "run": {**about["run"], "learning_rate": 1e9}}
        values = {name: arrays[name] for name in arrays.files}
    np.savez(state, **{**values, "about": json.dumps(changed)})
    spoilt = state.read_bytes()
    arguments = _arguments("E2ELAT", few[2], backbones, tmp_path, "--resume", epochs=3, rate=1e9)
    done = in_process(*arguments)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert "epoch 2: " in line and "loss is" in line and "--learning_rate" in line
    assert {path: path.read_bytes() for path in kept} == {**kept, state: spoilt}


def test_resuming_on_other_data_or_backbones_is_refused(in_process, few, backbones, tmp_path):
    root, own = tmp_path / "root", tmp_path / "own"
    shutil.copytree(few[2], root)
    shutil.copytree(backbones, own)
    assert in_process(*_arguments("LAT", root, own, tmp_path, epochs=1)).returncode == 0
    before = (tmp_path / "c/BestModelJND1.h5").read_bytes()

    def refused(what, arguments):
        done = in_process(*arguments)
        assert done.returncode == 1
        line = done.stderr.splitlines()[-1]
        assert "was trained with" in line and what in line and "Traceback" not in done.stderr
        assert (tmp_path / "c/BestModelJND1.h5").read_bytes() == before

    resume = _arguments("LAT", root, own, tmp_path, "--resume", epochs=2)
    lines = (root / "train/JND-Levels.txt").read_text()
    (root / "train/JND-Levels.txt").write_text(lines.replace("30", "31"))
    refused("levels", resume)
    (root / "train/JND-Levels.txt").write_text(lines)
    (root / "train/1.png").rename(root / "train/2.png")
    refused("frames", resume)
    (root / "train/2.png").rename(root / "train/1.png")
    (own / "JND1Reconstruction.h5").unlink()
    write_weights(build_backbone().whole, own / "JND1Reconstruction.h5")
    refused("backbones", resume)


def test_without_its_state_a_best_epoch_is_left_alone(in_process, few, backbones, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c/BestModelJND1.h5").write_text("the best of 300 epochs")
    done = in_process(*_arguments("LAT", few[2], backbones, tmp_path, "--resume"))
    assert done.returncode == 1
    assert "stateJND1.npz: no such file, and --resume needs it" in done.stderr
    assert (tmp_path / "c/BestModelJND1.h5").read_text() == "the best of 300 epochs"


def test_killed_between_state_and_best_epoch_it_makes_that_again(
    in_process, few, backbones, tmp_path
):
    # With an entropy model, whose copy beside the best epoch is written again, too.
    own = tmp_path / "own"
    shutil.copytree(backbones, own)
    EntropyModel().write(entropy_file(own / "JND1Reconstruction.h5"), build_backbone().whole)
    arguments = _arguments("LAT", few[2], own, tmp_path, epochs=1)
    assert in_process(*arguments).returncode == 0
    before = _weights(tmp_path / "c/BestModelJND1.h5")
    log = (tmp_path / "l/logsJND1.csv").read_text()
    (tmp_path / "c/BestModelJND1.h5").unlink()
    (tmp_path / "l/logsJND1.csv").unlink()
    resumed = in_process(*arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for name, value in _weights(tmp_path / "c/BestModelJND1.h5").items():
        assert np.array_equal(value, before[name])
    assert (tmp_path / "l/logsJND1.csv").read_text() == log


def test_wrong_data_is_named_before_tensorflow(command, data, backbones, tmp_path, no_tensorflow):
    def refused(*parts, name="E2ELAT", backbones=backbones):
        done = command(*_arguments(name, root, backbones, tmp_path), env=no_tensorflow)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        for part in parts:
            assert part in done.stderr

    root = tmp_path / "root"
    refused(f"{root}/train: no such folder")
    for folder in ("train", "valid"):
        (root / folder).mkdir(parents=True)
        for file in (data / folder).iterdir():
            (root / folder / file.name).write_bytes(file.read_bytes())
    refused("jnd1train: no such folder")
    (root / "jnd1train").mkdir()
    (root / "jnd1train" / "0.png").symlink_to(data / "jnd1train" / "0.png")
    refused("jnd1train: 1 JND frames for 4 images")
    (root / "valid" / "JND-Levels.txt").write_text("30 31 32\n")
    refused("1 lines of levels for 2 images", name="LAT")
    (root / "valid" / "JND-Levels.txt").write_text("30 31 32\n30 31 132\n")
    refused("line 2: level 132 is not within H.264 QP 0 to 51", name="LAT")
    (root / "valid" / "JND-Levels.txt").unlink()
    refused("valid/JND-Levels.txt: no such file", name="LAT")
    refused("no JND1Reconstruction.h5 in it", name="LAT", backbones=tmp_path)


def test_a_damaged_image_is_named(in_process, data, backbones, tmp_path):
    root = tmp_path / "root"
    for folder in ("train", "valid"):
        (root / folder).mkdir(parents=True)
        for file in (data / folder).iterdir():
            (root / folder / file.name).write_bytes(file.read_bytes())
    half = (root / "train" / "2.png").read_bytes()[:9000]
    (root / "train" / "2.png").write_bytes(half)
    for more in ([], ["--no_cache"]):
        done = in_process(*_arguments("LAT", root, backbones, tmp_path / "out", *more))
        assert done.returncode == 1
        assert "2.png: cannot be read as an image" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_neither_the_cache_nor_flip_changes_what_is_learned(in_process, data, backbones, tmp_path):
    """With --flip, without the cache and with it, and on files that are mirrored: one result."""
    doubled = tmp_path / "doubled"
    for folder in ("train", "valid"):
        (doubled / folder).mkdir(parents=True)
        for file in (data / folder).glob("*.png"):
            (doubled / folder / file.name).write_bytes(file.read_bytes())
        lines = (data / folder / "JND-Levels.txt").read_text().splitlines()
        (doubled / folder / "JND-Levels.txt").write_text("\n".join(lines * 2) + "\n")
    (doubled / "valid" / "JND-Levels.txt").write_text("\n".join(lines) + "\n")
    for number in range(4):
        with Image.open(data / "train" / f"{number}.png") as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
                doubled / "train" / f"{number + 4}.png"
            )

    def best(name, root, *more):
        done = in_process(*_arguments("LAT", root, backbones, tmp_path / name, *more, epochs=1))
        assert done.returncode == 0, done.stderr
        return tmp_path / name / "c/BestModelJND1.h5"

    plain = best("plain", data, "--flip", "--no_cache")
    cached = best("cached", data, "--flip", "--cache_dir", tmp_path / "f")
    copies = best("copies", doubled)
    for other in (cached, copies):
        _same(plain, other, 2e-4)
        _same_gradients(plain.parents[1], other.parents[1])

    # A damaged cache is seen and made anew; a whole one is used as it is.
    files = sorted((tmp_path / "f").glob("*.npy"))
    assert len(files) == 3  # train, the same mirrored, and valid
    whole = [file.read_bytes() for file in files]
    kept = files[1].stat().st_mtime_ns
    files[0].write_bytes(whole[0][:-4] + b"\0\0\0\1")
    _same(cached, best("again", data, "--flip", "--cache_dir", tmp_path / "f"))
    assert [file.read_bytes() for file in files] == whole
    assert files[1].stat().st_mtime_ns == kept


def test_rolled_features_come_back_in_at_the_other_side(tmp_path):
    from common.training.inputs import training_batches
    from common.training.settings import TrainingSplit

    features = np.random.default_rng(0).random((3, 4, 6, 2), np.float32)
    np.save(tmp_path / "a.npy", features)
    np.save(tmp_path / "b.npy", -features)
    paths = [[tmp_path / "a.npy"], [tmp_path / "b.npy"]]
    split = TrainingSplit([Path()] * 3, np.float32([[2]] * 3), None, None, features=paths)
    moves = np.array([[0, 0, 1], [0.5, 0.2, 0], [0.99, 0.99, 0]])  # of height 4 and width 6
    data = training_batches(split, np.array([2, 0, 1]), 3, ["output"], moves)
    (((one, other), targets),) = data.as_numpy_iterator()
    assert np.array_equal(other, -one)
    assert np.array_equal(one[1], features[0][:, ::-1])  # the one that is mirrored
    assert np.array_equal(one[2, 2:, 1:], features[1, :2, :5])
    assert np.array_equal(one[2, :2, :1], features[1, 2:, 5:])
    assert np.array_equal(one[0, :3, :5], features[2, 1:, 1:])
    assert targets["output"].tolist() == [[2]] * 3


@pytest.mark.parametrize("option", ["--roll", "--mirror", "--soft_targets=1"])
def test_what_needs_features_says_so(option, in_process, data, backbones, tmp_path):
    done = in_process(*_arguments("LAT", data, backbones, tmp_path, option, "--no_cache"))
    assert done.returncode == 2
    assert option[:7] in done.stderr and len(done.stderr.splitlines()) == 1


def test_interrupted_it_says_what_goes_on(in_process, few, backbones, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("common.training.predictor.train_predictor", interrupted)
    done = in_process(*_arguments("LAT", next(iter(few.values())), backbones, tmp_path))
    assert done.returncode == 130
    hint = "continue after the last complete epoch with --resume"
    assert done.stderr == f"python3 LAT.py train: interrupted; {hint}\n"


def test_cosine_brings_the_learning_rate_to_nothing_over_all_epochs():
    from common.training.predictor import _build_optimizer

    schedule = _build_optimizer(replace(SETTINGS, cosine=10), steps=6).get_config()["learning_rate"]
    assert schedule["class_name"] == "CosineDecay"
    assert schedule["config"]["initial_learning_rate"] == pytest.approx(0.1)
    assert schedule["config"]["decay_steps"] == 60  # 10 epochs of 6 steps
    assert schedule["config"]["alpha"] == 0


def test_a_full_disk_is_one_line(in_process, data, backbones, small_disk):
    """No room for the state (100 MB): then not for the best epoch either, which needs it."""
    disk = small_disk("60m")
    done = in_process(*_arguments("LAT", data, backbones, disk, "--no_cache", epochs=1))
    assert done.returncode == 1
    assert f"{disk}/c/stateJND1.npz: No space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (disk / "c").exists()


def test_a_full_disk_while_features_are_written(command, data, backbones, small_disk):
    """Of six frames at 676 kB room for five.

    In a process of its own: TensorFlow 2.21 on Python 3.12.1 may crash in one that went on after
    such an error.
    """
    disk = small_disk("3400k")
    arguments = _arguments("LAT", data, backbones, disk, epochs=1)
    done = command(*arguments)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert f"{disk}/c/features/" in done.stderr.splitlines()[-1]
    assert [path.suffix for path in (disk / "c/features").iterdir()].count(".npy") <= 1
    assert not [path for path in (disk / "c/features").iterdir() if "partial" in path.name]
