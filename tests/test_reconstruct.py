"""Stage 1 as a user runs it: training a backbone, resuming, testing it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.framework import tf
from common.codec.entropy_model import EntropyModel
from common.commands.main import main
from common.models.backbone import build_backbone
from common.models.wavelets import initialise_as_wavelets
from common.models.weight_paths import entropy_file
from common.models.weights import read_weights
from tests import golden
from tests.processes import REPO, Finished, one_line, without_progress
from tests.synthetic import picture

pytestmark = pytest.mark.tensorflow

PIXELS = 352 * 640
# Small crops of few frames.
QUICK = ("--crop", 64, "--batch_size", 2, "--learning_rate", 2e-4, "--epochs", 2)
BLUE, GREEN, RED = 30, 60, 200  # a JND frame unlike any raw one


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A ROOT: six, two and two bright pictures; its JND1 frames are of one colour."""
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 6), ("valid", 2), ("test", 2)):
        for number in range(count):
            for folder in (split, f"jnd1{split}"):
                (root / folder).mkdir(exist_ok=True)
            name = f"img{number + 9}.png"
            frame = 150 + picture(100 * len(split) + number) // 4
            Image.fromarray(frame).save(root / split / name)
            plain = np.full_like(frame, (RED, GREEN, BLUE))
            Image.fromarray(plain).save(root / f"jnd1{split}" / name)
    return root


def training(data: Path, folder: Path, *more: object) -> list[str]:
    where = ("--checkpoint_path", folder, "--csv_log_path", folder)
    given = ("train", "--target", "Img", "--data_dir", data, *where, *QUICK, *more)
    return [str(argument) for argument in given]


@pytest.fixture(scope="module")
def trained(data, command, tmp_path_factory) -> tuple[Path, Finished]:
    """What an undisturbed run writes and says."""
    folder = tmp_path_factory.mktemp("trained")
    done = command("-m", "common.reconstruct", *training(data, folder))
    assert done.returncode == 0, done.stderr
    return folder, done


def test_training_lowers_the_loss_and_logs_each_epoch_once(trained):
    folder, done = trained
    log = pd.read_csv(folder / "logsImgReconstruction.csv", sep=";")
    measures = ["loss", "bits_per_pixel", "mse", "psnr"]
    assert list(log.columns) == ["epoch", *measures, *(f"val_{name}" for name in measures)]
    assert list(log.epoch) == [1, 2]
    assert f"train --target JND1 --init {folder} " in done.stdout
    assert log.loss.iloc[-1] < 0.95 * log.loss.iloc[0]
    assert np.allclose(log.loss, log.bits_per_pixel + 0.01 * log.mse, rtol=1e-4)
    assert np.allclose(log.val_loss, log.val_bits_per_pixel + 0.01 * log.val_mse, rtol=1e-4)

    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == [f"epoch {n}/2" for n in (1, 2)]
    assert str(folder / "ImgReconstruction.h5") in lines[2]
    assert lines[3].startswith("next: python3 -m common.reconstruct test --target Img")
    assert without_progress(done.stderr) == ["Running on the CPU in float32."]
    assert sorted(path.name for path in folder.iterdir()) == [
        "ImgReconstruction.entropy.npz",
        "ImgReconstruction.h5",
        "ImgReconstruction.state.npz",
        "logsImgReconstruction.csv",
        "logsImgReconstruction.png",
    ]


def test_what_test_measures(data, trained, tmp_path, capsys):
    weights = trained[0] / "ImgReconstruction.h5"
    arguments = [
        "test", "--target", "Img", "--data_dir", str(data),
        "--model_weights_path", str(weights), "--result_path", str(tmp_path),
    ]  # fmt: skip
    assert main("backbone", arguments) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "ImgReconstruction_frames.csv")
    assert list(table.columns) == ["image", "bits_per_pixel", "psnr", "ssim"]
    assert list(table.image) == ["img9.png", "img10.png"]

    backbone, entropy_model = build_backbone(), EntropyModel()
    backbone.whole.load_weights(weights)  # by plain Keras
    entropy_model.read(entropy_file(weights), backbone.whole)
    _, analysis, synthesis = backbone
    offset = entropy_model.quantization_offset()
    for row in table.itertuples():
        raw = np.asarray(Image.open(data / "test" / row.image))[..., ::-1].astype(np.float64)
        latent = analysis(raw[np.newaxis].astype(np.float32)).numpy()
        latent = np.rint(latent - offset) + offset
        reconstruction = np.clip(np.rint(synthesis(latent)[0].numpy()), 0, 255)
        error = np.mean((raw - reconstruction) ** 2)
        assert row.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
        estimate = -entropy_model.distribution.log_prob(latent).numpy().sum(dtype=np.float64)
        estimate /= np.log(2) * PIXELS
        assert row.bits_per_pixel == pytest.approx(estimate, rel=0.03)
        # A string is whole bytes.
        assert row.bits_per_pixel * PIXELS / 8 == pytest.approx(
            round(row.bits_per_pixel * PIXELS / 8), abs=0.02
        )
        assert 0 < row.ssim < 1
    metrics = pd.read_csv(tmp_path / "ImgReconstruction_metrics.csv").iloc[0]
    assert metrics.psnr == pytest.approx(table.psnr.mean(), abs=1e-5)
    assert metrics.images == 2
    assert f"{table.psnr.mean():.2f}" in said
    assert f"{table.bits_per_pixel.mean():.4f} bits per pixel" in said
    with Image.open(tmp_path / "ImgReconstruction.png") as sheet:
        assert sheet.width > 2 * 640
        assert sheet.height > 2 * 352


def test_validation_measures_whole_frames_with_rounded_latents(data, trained):
    folder, _ = trained
    log = pd.read_csv(folder / "logsImgReconstruction.csv", sep=";")
    best = log.loc[log.val_loss.idxmin()]
    backbone, entropy_model = build_backbone(), EntropyModel()
    read_weights(backbone.whole, folder / "ImgReconstruction.h5")
    entropy_model.read(folder / "ImgReconstruction.entropy.npz", backbone.whole)
    _, analysis, synthesis = backbone
    coder = entropy_model.coder
    errors, bits = [], []
    for path in sorted((data / "valid").iterdir()):
        raw = np.asarray(Image.open(path))[..., ::-1].astype(np.float32)
        latent = analysis(raw[np.newaxis])
        string = coder.compress(latent[0].numpy())
        bits.append(8 * len(string) / PIXELS)
        decoded = coder.decompress(string, (22, 40))
        errors.append(np.mean((raw - synthesis(decoded[np.newaxis])[0].numpy()) ** 2))
    assert np.mean(errors) == pytest.approx(best.val_mse, rel=1e-3)
    assert np.mean(bits) == pytest.approx(best.val_bits_per_pixel, rel=0.03)


def test_a_killed_run_resumes_to_the_same_weights(data, trained, tmp_path, capsys):
    process = subprocess.Popen(
        [sys.executable, "-m", "common.reconstruct", *training(data, tmp_path)],
        cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout.readline().startswith("epoch 1/2")
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    state = tmp_path / "ImgReconstruction.state.npz"
    with np.load(state) as killed:
        assert len(json.loads(str(killed["about"]))["rows"]) < 2
    backbone = build_backbone().whole
    read_weights(backbone, tmp_path / "ImgReconstruction.h5")  # whole, whatever the moment

    assert main("backbone", training(data, tmp_path, "--resume")) == 0
    assert not capsys.readouterr().out.startswith("epoch 1/2")
    undisturbed = trained[0]
    for name in ("logsImgReconstruction.csv",):
        assert (tmp_path / name).read_text() == (undisturbed / name).read_text()
    for name in ("ImgReconstruction.state.npz", "ImgReconstruction.entropy.npz"):
        with np.load(tmp_path / name) as resumed, np.load(undisturbed / name) as expected:
            assert set(resumed) == set(expected)
            for key in expected:
                assert np.array_equal(resumed[key], expected[key]), f"{name}: {key}"
    other = build_backbone().whole
    read_weights(backbone, tmp_path / "ImgReconstruction.h5")
    read_weights(other, undisturbed / "ImgReconstruction.h5")
    for weight, expected in zip(backbone.get_weights(), other.get_weights()):
        assert np.array_equal(weight, expected)


def refused(arguments: list[str], capsys, *parts: object) -> None:
    """The command line, run in this process, ends in one line that holds the `parts`."""
    with pytest.raises(SystemExit) as stopped:
        main("backbone", arguments)
    assert stopped.value.code == 1
    lines = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("Running on")]
    assert len(lines) == 1
    for part in parts:
        assert str(part) in lines[0]


def test_resuming_needs_the_same_settings_and_a_new_run_its_own_folder(data, trained, capsys):
    folder, _ = trained
    before = (folder / "ImgReconstruction.h5").read_bytes()
    refused(
        training(data, folder, "--resume", "--lambda", 0.1),
        capsys,
        "distortion_weight",
        "0.01",
        "0.1",
    )
    refused(
        training(data, folder), capsys, folder / "ImgReconstruction.h5: already exists", "--resume"
    )
    assert (folder / "ImgReconstruction.h5").read_bytes() == before


def test_jnd_target_without_rate(data, trained, tmp_path, capsys):
    arguments = training(
        data, tmp_path, "--target", "JND1", "--init", trained[0], "--no_rate",
        "--epochs", 2, "--learning_rate", 1e-2,
    )  # fmt: skip
    assert main("backbone", arguments) == 0
    log = pd.read_csv(tmp_path / "logsJND1Reconstruction.csv", sep=";")
    assert log.bits_per_pixel.isna().all()
    assert np.allclose(log.loss, log.mse)
    assert log.loss.iloc[1] < log.loss.iloc[0]
    assert not (tmp_path / "JND1Reconstruction.entropy.npz").exists()
    said = capsys.readouterr().out
    assert "bits per pixel" not in said

    results = tmp_path / "results"
    arguments = [
        "test", "--target", "JND1", "--data_dir", str(data),
        "--model_weights_path", str(tmp_path), "--result_path", str(results),
    ]  # fmt: skip
    assert main("backbone", arguments) == 0
    assert "no bits" in capsys.readouterr().out
    table = pd.read_csv(results / "JND1Reconstruction_frames.csv")
    assert list(table.columns) == ["image", "psnr", "ssim", "jnd_psnr", "jnd_ssim"]
    backbone = build_backbone().whole
    backbone.load_weights(tmp_path / "JND1Reconstruction.h5")

    def reconstruction(path: Path) -> np.ndarray:
        raw = np.asarray(Image.open(path))[np.newaxis, ..., ::-1].astype(np.float32)
        return backbone(raw)[0].numpy()

    jnd_frame = np.array((BLUE, GREEN, RED), np.float64)
    valid = [reconstruction(path) for path in (data / "valid").iterdir()]
    assert np.mean((valid - jnd_frame) ** 2) == pytest.approx(log.val_mse.min(), rel=1e-3)
    eight_bits = np.clip(np.rint(reconstruction(data / "test" / "img9.png")), 0, 255)
    psnr = 10 * np.log10(255**2 / np.mean((eight_bits - jnd_frame) ** 2))
    assert table.jnd_psnr[0] == pytest.approx(psnr, abs=0.01)
    with Image.open(results / "JND1Reconstruction.png") as sheet:
        assert sheet.width > 3 * 640


def test_a_jnd_backbone_starts_from_the_given_weights_and_entropy_model(data, trained, tmp_path):
    arguments = training(
        data, tmp_path, "--target", "JND1", "--init", trained[0] / "ImgReconstruction.h5",
        "--epochs", 1, "--learning_rate", 1e-9,
    )  # fmt: skip
    assert main("backbone", arguments) == 0
    name = "Reconstruction.entropy.npz"
    with np.load(trained[0] / f"Img{name}") as given, np.load(tmp_path / f"JND1{name}") as made:
        for key in set(given) - {"backbone"}:
            assert np.allclose(given[key], made[key], atol=1e-6)
    backbone, other = build_backbone().whole, build_backbone().whole
    read_weights(backbone, trained[0] / "ImgReconstruction.h5")
    read_weights(other, tmp_path / "JND1Reconstruction.h5")
    for weight, expected in zip(other.get_weights(), backbone.get_weights()):
        assert np.allclose(weight, expected, atol=1e-6)


@pytest.mark.parametrize("init", ["random", "wavelets", None])
def test_initial_weights(data, tmp_path, init):
    """A learning rate near zero leaves them as they were."""
    more = ("--init", init) if init else ()
    quick = ("--seed", 5, "--epochs", 1, "--learning_rate", 1e-12)
    assert main("backbone", training(data, tmp_path, *more, *quick)) == 0
    tf.keras.utils.set_random_seed(5)
    expected, trained = build_backbone((None, None, 3)), build_backbone()
    if init != "random":
        initialise_as_wavelets(expected, 5)
    read_weights(trained.whole, tmp_path / "ImgReconstruction.h5")
    for weight, value in zip(expected.whole.get_weights(), trained.whole.get_weights()):
        assert np.allclose(weight, value, atol=1e-6)
    if init == "random":
        more = training(data, tmp_path, "--resume", *quick)
        with pytest.raises(SystemExit):
            main("backbone", more)


def test_an_entropy_model_of_other_weights_is_refused(trained, tmp_path, capsys):
    folder, _ = trained
    golden.write_weights("Backbone", tmp_path / "ImgReconstruction.h5")
    prior = (folder / "ImgReconstruction.entropy.npz").read_bytes()
    (tmp_path / "ImgReconstruction.entropy.npz").write_bytes(prior)
    root = tmp_path / "root" / "test"
    root.mkdir(parents=True)
    Image.fromarray(picture(0)).save(root / "a.png")
    arguments = [
        "test", "--target", "Img", "--data_dir", str(root.parent),
        "--model_weights_path", str(tmp_path), "--result_path", str(tmp_path),
    ]  # fmt: skip
    refused(arguments, capsys, "ImgReconstruction.entropy.npz: belongs to other weights")
    (tmp_path / "ImgReconstruction.entropy.npz").write_bytes(prior[:1000])
    refused(arguments, capsys, "not an entropy model, or damaged")


def test_a_loss_that_is_no_number_stops_and_names_the_frames(data, tmp_path, capsys):
    refused(
        training(data, tmp_path, "--learning_rate", 1e30),
        capsys,
        f"epoch 1, step 2, on {data / 'train' / 'img'}",
        ": loss is nan; a lower --learning_rate may help",
    )
    assert not list(tmp_path.glob("*.h5"))


def test_images_that_cannot_be_read_are_named(data, tmp_path, capsys):
    root = tmp_path / "root"
    for split in ("train", "valid"):
        (root / split).mkdir(parents=True)
        (root / split / "a.png").symlink_to(data / split / "img9.png")
    (root / "train" / "b.png").write_bytes(b"no picture")
    refused(training(root, tmp_path), capsys, root / "train" / "b.png", "cannot be read")
    assert not list(tmp_path.glob("*.h5"))


def test_another_models_weights_are_refused(data, tmp_path, capsys):
    golden.write_weights("LAT", tmp_path / "LATJND1.h5")
    refused(
        training(data, tmp_path, "--init", tmp_path / "LATJND1.h5"),
        capsys,
        tmp_path / "LATJND1.h5: holds another model",
    )


def test_a_full_disk_is_one_line(data, small_disk, capsys):
    disk = small_disk("20m")
    # No room for the state: then not for the best epoch either, which needs it.
    said = f"{disk / 'ImgReconstruction.state.npz'}: No space left on device"
    refused(training(data, disk, "--epochs", 1), capsys, said)
    assert not list(disk.iterdir())


@pytest.fixture
def tested(data, tmp_path):
    """Arguments that test seeded weights, and the folder of results."""
    golden.write_weights("Backbone", tmp_path / "JND1Reconstruction.h5")
    where = ("--model_weights_path", tmp_path, "--result_path", tmp_path / "results")
    given = ("test", "--target", "JND1", "--data_dir", data, *where)
    return [str(argument) for argument in given], tmp_path / "results"


def test_no_result_of_other_data_stays(tested, monkeypatch, capsys):
    arguments, results = tested
    results.mkdir()
    ours = [f"JND1Reconstruction{end}" for end in ("_frames.csv", "_metrics.csv", ".png")]
    others = ["ImgReconstruction_metrics.csv", "JND1test_metrics.csv", "notes.txt"]
    for name in (*ours, *others):
        (results / name).write_text("old")

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("common.evaluation.backbone.write_csv", killed)
    with pytest.raises(SystemExit) as stopped:
        main("backbone", [*arguments, "--overwrite"])  # "old" is nothing that it writes
    assert stopped.value.code == 130
    assert sorted(path.name for path in results.iterdir()) == sorted(others)
    monkeypatch.undo()
    assert main("backbone", arguments) == 0
    assert sorted(path.name for path in results.iterdir()) == sorted([*ours, *others])
    assert {(results / name).read_text() for name in others} == {"old"}


def test_names_of_any_bytes(tested, data, tmp_path):
    arguments, results = tested
    (tmp_path / "test").mkdir()
    name = os.fsencode(tmp_path / "test") + b"/\xff.png"
    os.symlink(data / "test" / "img9.png", name)
    arguments[arguments.index(str(data))] = str(tmp_path)
    assert main("backbone", arguments) == 0
    table = pd.read_csv(results / "JND1Reconstruction_frames.csv", encoding="utf-8")
    assert table.image.tolist() == [r"\xff.png"]


# Before TensorFlow


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("test", "--help")])
def test_help_needs_the_standard_library_alone(arguments, command, standard_library):
    done = command("-m", "common.reconstruct", *arguments, env=standard_library)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python3 -m common.reconstruct" in done.stdout
    assert done.cpu < 0.5


def test_a_missing_package_is_named(tested, command, missing):
    one_line(
        command("-m", "common.reconstruct", *tested[0], env=missing("natsort")),
        1,
        "the package natsort is missing: pip install -r requirements.txt",
    )


def test_a_file_where_the_results_belong(tested, without_tensorflow):
    arguments, results = tested
    results.write_text("mine")
    assert f"{results}: cannot be made as a folder" in without_tensorflow(*arguments, code=1)
    assert results.read_text() == "mine"


@pytest.fixture
def without_tensorflow(command, no_tensorflow):
    """The command, in a process that fails when it imports TensorFlow; what it said on stderr."""

    def run(*arguments: object, code: int) -> str:
        done = command("-m", "common.reconstruct", *arguments, env=no_tensorflow)
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    return run


def test_help_shows_examples(without_tensorflow):
    assert "--target JND1 --init backbones/" in without_tensorflow("train", "--help", code=0)
    assert "common.reconstruct test --target" in without_tensorflow("test", "--help", code=0)


@pytest.mark.parametrize(
    "more, said",
    [
        (("--target", "JND1"), "--target JND1 needs --init"),
        (("--target", "JND1", "--init", "random"), "--target JND1 needs --init"),
        (("--target", "JND4"), "JND4"),
        (("--crop", 100), "100 is not a multiple of 16"),
        (("--crop", 368), "368 is not a multiple of 16 from 16 to 352"),
        (("--lambda", 0), "0 is not a number above 0"),
        (("--learning_rate", "nan"), "nan is not a number above 0"),
        (("--lambda", 1, "--no_rate"), "not allowed with"),
    ],
)
def test_usage_errors_are_one_line(data, without_tensorflow, tmp_path, more, said):
    error = without_tensorflow(*training(data, tmp_path, *more), code=2)
    assert error.count("\n") == 1
    assert said in error


def test_what_is_missing_is_named_before_tensorflow(data, without_tensorflow, tmp_path):
    def error(root: Path, *more: object) -> str:
        said = without_tensorflow(*training(root, tmp_path / "new", *more), code=1)
        assert said.count("\n") == 1
        return said

    assert f"{tmp_path / 'no' / 'train'}: no such folder" in error(tmp_path / "no")
    jnd2 = ("--target", "JND2", "--init", tmp_path)
    assert f"{data / 'jnd2train'}: no such folder" in error(data, *jnd2)
    assert "ImgReconstruction.h5" in error(data, "--init", tmp_path)
    root = tmp_path / "root"
    for folder in ("train", "valid", "jnd1train"):
        (root / folder).mkdir(parents=True)
        (root / folder / "a.png").touch()
    (root / "jnd1train" / "b.png").touch()
    said = error(root, "--target", "JND1", "--init", tmp_path)
    assert f"{root / 'jnd1train'}: 2 JND frames for 1 images in {root / 'train'}" in said
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'}" in error(data, "--checkpoint_path", tmp_path / "file")
    assert not (tmp_path / "new").exists()
