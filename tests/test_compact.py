"""Making a weight file small, and what may go wrong with it."""

import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from common.base.errors import UserError
from common.commands.main import main
from common.models.compact import compact
from common.models.labels import PROXY, Labels
from tests import golden
from tests.processes import REPO, one_line, run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    golden.write_weights("Backbone", path)
    return path


def test_what_the_levels_are_travels_with_the_weights(whole, tmp_path):
    from common.models.backbone import build_backbone
    from common.models.weights import read_weight_file, write_weights

    model = build_backbone().whole
    labels = Labels(codec="H.264 QP", kind=PROXY, thresholds=(94.5, 91.25, 87))
    write_weights(model, tmp_path / "large.h5", labels)
    compact(tmp_path / "large.h5", tmp_path / "small.h5")
    for name in ("large.h5", "small.h5"):
        assert read_weight_file(tmp_path / name).labels == labels
        build_backbone().whole.load_weights(tmp_path / name)  # plain Keras passes over them
    assert read_weight_file(whole).labels == Labels()


def test_it_rounds_as_it_says(tmp_path):
    """Dense kernels to 0.004, others to their powers of 2, the sums of neighbouring taps kept."""
    random = np.random.default_rng(0)
    kernels = {
        "backbone": random.normal(0, 0.1, (5, 5, 3, 8)),
        "latent": random.normal(0, 0.1, (5, 5, 8, 192)),
        "conv2d": random.normal(0, 0.1, (3, 3, 5, 8)),
        "dense": random.normal(0, 0.01, (500 * 8, 256)),
        "last": random.normal(0, 0.1, (256, 1)),
    }
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.attrs["layer_names"] = list(kernels)
        file.attrs["unit"] = "H.264 QP"
        for layer, kernel in kernels.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/kernel:0", f"{layer}/bias:0"]
            group[f"{layer}/kernel:0"] = kernel.astype(np.float32)
            group[f"{layer}/bias:0"] = kernel[(0,) * (kernel.ndim - 1)].astype(np.float32)
    compact(tmp_path / "large.h5", tmp_path / "small.h5")
    with h5py.File(tmp_path / "small.h5") as file:
        assert file.attrs["unit"] == "H.264 QP"
        small = {layer: file[layer][f"{layer}/kernel:0"][()] for layer in kernels}
        for layer, kernel in kernels.items():
            bias = file[layer][f"{layer}/bias:0"][()]
            np.testing.assert_array_equal(bias, kernel[(0,) * (kernel.ndim - 1)].astype(np.float32))
    np.testing.assert_array_equal(small["last"], kernels["last"].astype(np.float32))
    assert np.abs(small["dense"] * 250 - np.rint(small["dense"] * 250)).max() < 1e-3
    # Of all taps that see one channel the errors sum up to at most half a step, not to many.
    for layer, steps in (("backbone", 2**15), ("latent", 2**18), ("conv2d", 2**13)):
        assert np.abs(small[layer] * steps % 1).max() == 0
        assert np.abs(small[layer] * steps / 2 % 1).max() > 0
        sums = (small[layer] - kernels[layer]).sum(axis=(0, 1))
        assert np.abs(sums).max() < 0.51 / steps
    sums = (small["dense"] - kernels["dense"]).reshape(500, 8, 256).sum(axis=0)
    assert np.abs(sums).max() < 2.04e-3


def test_it_blames_what_is_at_fault(whole, tmp_path, small_disk, capsys):
    (tmp_path / "half.h5").write_bytes(whole.read_bytes()[: 10**6])
    disk = small_disk("1m")
    file = tmp_path / "file"
    file.touch()
    for source, target, said in (
        (tmp_path / "none.h5", tmp_path / "new.h5", f"{tmp_path}/none.h5: no such file"),
        (tmp_path, tmp_path / "new.h5", f"{tmp_path}: cannot be read (Is a directory)"),
        (tmp_path / "half.h5", tmp_path / "new.h5", f"{tmp_path}/half.h5: not a complete"),
        (whole, disk / "new.h5", f"error: {disk}/new.h5: No space left on device"),
        (whole, file, f"{file}: already exists"),
        (whole, file / "new.h5", f"error: {file}"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main("compact", [str(source), str(target)])
        (line,) = capsys.readouterr().err.splitlines()
        assert (stopped.value.code, said in line) == (1, True), line
    assert not (tmp_path / "new.h5").exists()
    assert list(disk.iterdir()) == []


def test_weights_that_are_nan_are_refused(whole, tmp_path):
    source = tmp_path / "nan.h5"
    source.write_bytes(whole.read_bytes())
    with h5py.File(source, "r+") as file:
        file["conv2d_1/conv2d_1/bias:0"][5] = np.nan
    with pytest.raises(UserError, match=r"nan\.h5: has NaN or infinite weights, in /conv2d_1"):
        compact(source, tmp_path / "new.h5")
    assert not (tmp_path / "new.h5").exists()


@pytest.mark.parametrize("ending, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_when_asked_and_leaves_nothing(tmp_path, ending, code):
    golden.write_weights("LAT", tmp_path / "large.h5")
    target = tmp_path / "out" / "small.h5"
    program = ["-u", "-m", "common.compact", str(tmp_path / "large.h5"), str(target)]
    process = subprocess.Popen(
        [sys.executable, *program], cwd=REPO, stderr=subprocess.PIPE, text=True
    )
    while not (target.parent.is_dir() and any(target.parent.iterdir())):  # its lock
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)  # of some four seconds
    assert process.poll() is None
    process.send_signal(ending)
    start = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - start < 8  # one kernel's compression cannot be cut short
    assert (process.returncode, said) == (code, "python3 -m common.compact: interrupted\n")
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_second_time_is_refused(whole, tmp_path):
    assert run("-m", "common.compact", whole, tmp_path / "small.h5").returncode == 0
    before = (tmp_path / "small.h5").read_bytes()
    one_line(run("-m", "common.compact", whole, tmp_path / "small.h5"), 1, "already exists")
    assert (tmp_path / "small.h5").read_bytes() == before


@pytest.mark.tensorflow
def test_entropy_models_are_copied_whosever_they_are(tmp_path):
    from common.codec.entropy_model import EntropyModel
    from common.models.backbone import build_backbone
    from common.models.build import build_model
    from common.models.descriptions import MODELS
    from common.models.weights import read_weights

    for name, model, targets in (
        ("JND1Reconstruction", "Backbone", [""]),
        ("MJLAT", "MJLAT", [".JND2", ".JND3"]),  # that of JND1 is missing
        ("LATJND1", "LAT", [""]),
    ):
        golden.write_weights(model, tmp_path / f"{name}.h5")
        for target in targets:
            made = tmp_path / f"{name}{target}.entropy.npz"
            EntropyModel().write(made, build_backbone().whole)
        main("compact", [str(tmp_path / f"{name}.h5"), str(tmp_path / "out" / f"{name}.h5")])
        copies = [tmp_path / "out" / f"{name}{target}.entropy.npz" for target in targets]
        assert all(copy.exists() for copy in copies)
    backbone = build_backbone()
    read_weights(backbone.whole, tmp_path / "out" / "JND1Reconstruction.h5")
    EntropyModel().read(tmp_path / "out" / "JND1Reconstruction.entropy.npz", backbone.whole)
    model = build_model(MODELS["MJLAT"])
    read_weights(model.whole, tmp_path / "out" / "MJLAT.h5")
    for target, own in zip(("JND2", "JND3"), model.backbones[1:]):
        EntropyModel().read(tmp_path / "out" / f"MJLAT.{target}.entropy.npz", own.analysis)


def test_entropy_models_of_another_file_are_told(tmp_path, capsys):
    golden.write_weights("LAT", tmp_path / "a.h5")
    (tmp_path / "a.JND1.entropy.npz").touch()  # LAT's has no level in its name
    with pytest.raises(SystemExit):
        main("compact", [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/a.JND1.entropy.npz: belongs to no backbone in {tmp_path}/a.h5" in line
