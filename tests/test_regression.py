"""The regression beside the head: fitted as scikit-learn does, stored, and used by `predict`."""

import dataclasses

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import StandardScaler

from common.base.errors import UserError
from common.data.statistics import COUNT, STATISTICS, write_statistics
from common.inference.predictor import UNFAMILIAR, Predictor
from common.models.build import build_model
from common.models.compact import compact
from common.models.descriptions import MODELS
from common.models.regression import Regression
from common.models.weights import add_regression, read_weight_file
from common.training.regression import GAMMA, RIDGE, choose_share, fit_regression
from common.video.ffmpeg import binary
from tests import golden
from tests.processes import one_line
from tests.synthetic import FFMPEG, picture
from tests.videos import ffmpeg


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "LATJND1.h5"
    golden.write_weights("LAT", path)
    return path


def constant(level: float, share: float, familiar: float = 0.0) -> Regression:
    """A regression that gives every picture one level."""
    return Regression(
        mean=np.zeros(COUNT, np.float32),
        scale=np.ones(COUNT, np.float32),
        points=np.zeros((1, COUNT), np.float32),
        coefficients=np.zeros((1, 1), np.float32),
        offset=np.array([level], np.float32),
        gamma=1e-9,
        share=share,
        familiar=familiar,
    )


def samples(count=40, seed=0):
    random = np.random.default_rng(seed)
    statistics = random.normal(3, 2, (count, 6)).astype(np.float32)
    levels = np.stack([statistics[:, 0] + 25, statistics[:, 1] * statistics[:, 2] + 30], axis=1)
    return statistics, levels, np.array([f"c{number // 2}" for number in range(count)])


def test_it_is_scikit_learns_kernel_ridge():
    statistics, levels, contents = samples()
    others = samples(10, seed=1)[0]
    scaler = StandardScaler().fit(statistics)
    theirs = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=GAMMA / statistics.shape[1])
    theirs.fit(scaler.transform(statistics), levels - levels.mean(axis=0))
    expected = theirs.predict(scaler.transform(others)) + levels.mean(axis=0)
    # A picture that is there several times, as in several views, counts once.
    again = [np.concatenate([each, each[:7]]) for each in (statistics, levels, contents)]
    for fitted in (fit_regression(statistics, levels, contents), fit_regression(*again)):
        assert np.allclose(fitted.predict(others), expected, atol=2e-3)


def test_far_away_it_gives_the_mean_and_says_that_it_is_far():
    statistics, levels, contents = samples()
    fitted = fit_regression(statistics, levels, contents)
    far = np.full((1, 6), 1e3, np.float32)
    assert np.allclose(fitted.predict(far), levels.mean(axis=0), atol=1e-3)
    assert not fitted.is_familiar(far[0])
    assert fitted.is_familiar(statistics[0])


def test_the_share_is_that_of_the_least_error():
    """The head errs by +1 and the regression by -3: both are right with a share of 1/4."""
    statistics, levels, contents = samples()
    fitted = fit_regression(statistics, levels, contents)
    true = fitted.predict(statistics) + 3
    given = fitted, statistics
    assert choose_share(*given, true, contents, true + 1) == pytest.approx(0.25)
    assert choose_share(*given, true, contents, true) == 0
    assert choose_share(*given, fitted.predict(statistics), contents, true) == 1


def test_a_gain_that_may_be_chance_is_no_reason_to_use_the_head():
    """The regression errs by 1. On some of sixteen contents the head gains all of that, on the
    others it loses as much. By hand: if it helps on 12, the mean gain is 0.5 and twice its standard
    error 0.43; if on 11, they are 0.38 and 0.46.
    """
    regression, statistics = constant(0, 1.0), np.zeros((32, COUNT), np.float32)
    contents = np.repeat(np.arange(16), 2)  # two versions of each
    levels = np.ones((32, 1), np.float32)
    for helped, share in ((16, 0.0), (12, 0.0), (11, 1.0), (8, 1.0)):
        head = np.where(contents < helped, 1, -1)[:, np.newaxis]
        assert choose_share(regression, statistics, levels, contents, head) == share


def test_versions_of_a_content_count_as_one():
    """The head helps on eight contents with five versions each, and harms on eight with one."""
    regression, contents = constant(0, 1.0), np.repeat(np.arange(16), [5] * 8 + [1] * 8)
    statistics, levels = np.zeros((48, COUNT), np.float32), np.ones((48, 1), np.float32)
    head = np.where(contents < 8, 1, -1)[:, np.newaxis]
    assert choose_share(regression, statistics, levels, contents, head) == 1
    assert choose_share(regression, statistics, levels, np.arange(48), head) == 0


def test_it_comes_back_from_the_file_and_from_a_compact_one(weights, tmp_path):
    statistics, levels, contents = samples()
    fitted = fit_regression(statistics, levels[:, :1], contents)
    fitted = dataclasses.replace(fitted, share=0.7)
    add_regression(weights, tmp_path / "refined.h5", fitted, overwrite=False)
    compact(tmp_path / "refined.h5", tmp_path / "small.h5")
    for path in (tmp_path / "refined.h5", tmp_path / "small.h5"):
        found = read_weight_file(path).regression
        for name, array in fitted.to_arrays().items():
            assert np.array_equal(found.to_arrays()[name], array), name
        build_model(MODELS["LAT"]).whole.load_weights(path)  # plain Keras passes over it
    before, after = (read_weight_file(each).layers for each in (weights, tmp_path / "refined.h5"))
    assert all(np.array_equal(a, b) for (_, x), (_, y) in zip(before, after) for a, b in zip(x, y))
    assert read_weight_file(weights).regression is None


def test_a_changed_or_impossible_regression_is_refused(weights, tmp_path):
    path = tmp_path / "refined.h5"
    add_regression(weights, path, constant(30, 0.5), overwrite=False)
    with h5py.File(path, "a") as file:
        file["regression/offset"][0] = 31
    with pytest.raises(UserError, match="checksum does not match"):
        read_weight_file(path)
    for wrong, message in (
        ({"offset": np.array([np.nan], np.float32)}, "NaN or infinite"),
        ({"mean": np.zeros(COUNT - 1, np.float32)}, "do not fit together"),
    ):
        other = dataclasses.replace(constant(30, 0.5), **wrong)
        add_regression(weights, path, other, overwrite=True)
        with pytest.raises(UserError, match=message):
            read_weight_file(path)


@pytest.mark.parametrize("runtime", ["openvino", "keras"])
def test_predict_averages_it_with_the_head(weights, tmp_path, runtime):
    rgb = picture(4, 200, 300)
    Image.fromarray(rgb).save(tmp_path / "picture.png")
    head = Predictor("LAT", weights, "JND1", runtime=runtime, model_cache=False).levels(rgb)
    path = tmp_path / "LATJND1.h5"
    for share in (0.0, 0.25, 1.0):
        add_regression(weights, path, constant(30, share), overwrite=True)
        predictor = Predictor("LAT", path, "JND1", runtime=runtime, model_cache=False)
        expected = (1 - share) * head + share * 30
        assert predictor.levels(rgb) == pytest.approx(expected, abs=1e-4)
        assert predictor.levels(rgb[np.newaxis]) == pytest.approx(expected[np.newaxis], abs=1e-4)
        (from_file,) = predictor.predict([tmp_path / "picture.png"])
        (from_pixels,) = predictor.predict_frames([rgb])
        for prediction in (from_file, from_pixels):
            assert prediction.levels["JND1"] == pytest.approx(expected[0], abs=1e-4)
            assert prediction.notes == []


def test_the_network_does_not_run_if_the_regression_is_all(weights, tmp_path):
    path = tmp_path / "LATJND1.h5"
    for share, runs in ((0.5, 1), (1.0, 0)):
        add_regression(weights, path, constant(30, share), overwrite=True)
        predictor, ran = Predictor("LAT", path, "JND1", model_cache=False), []
        predictor._runtime = predictor._runtime._replace(
            levels=lambda frames, ran=ran: ran.append(len(frames)) or np.zeros((len(frames), 1))
        )
        predictor.levels(picture(4, 64, 64))
        assert len(ran) == runs


def test_a_regression_of_other_statistics_or_levels_is_told(weights, tmp_path):
    """As of another version of the program, or of a model of three levels."""
    short = np.zeros(COUNT - 1, np.float32)
    of_others = {"mean": short, "scale": short + 1, "points": short[np.newaxis]}
    of_three = {
        "offset": np.zeros(3, np.float32),
        "coefficients": np.zeros((1, 3), np.float32),
    }
    path = tmp_path / "LATJND1.h5"
    for wrong in (of_others, of_three):
        other = dataclasses.replace(constant(30, 0.5), **wrong)
        add_regression(weights, path, other, overwrite=True)
        with pytest.raises(UserError, match="refine the model again"):
            Predictor("LAT", path, "JND1", model_cache=False)


def test_without_an_ffmpeg_it_is_told_before_the_work(weights, tmp_path, monkeypatch):
    """The statistics are measured by libvmaf; a head needs no ffmpeg, nor do bitstream files."""
    path, rgb = tmp_path / "LATJND1.h5", picture(4, 64, 64)
    add_regression(weights, path, constant(30, 0.5), overwrite=False)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/absent/ffmpeg")
    binary.cache_clear()
    try:
        assert Predictor("LAT", weights, "JND1").levels(rgb).shape == (1,)
        predictor, said = Predictor("LAT", path, "JND1"), "/absent/ffmpeg: does not run as ffmpeg"
        for predict in (predictor.levels, lambda rgb: next(predictor.predict_frames([rgb]))):
            with pytest.raises(UserError, match=said):
                predict(rgb)
    finally:
        binary.cache_clear()


def test_a_file_that_cannot_be_measured_costs_only_itself(
    in_process, weights, tmp_path, monkeypatch
):
    """By an ffmpeg that fails on frames of one size, as if killed for its memory."""
    failing = tmp_path / "ffmpeg"
    fails = "*64x96*libvmaf*) exit 1"
    failing.write_text(f'#!/bin/sh\ncase "$*" in {fails}; esac\nexec {FFMPEG} "$@"\n')
    failing.chmod(0o755)
    add_regression(weights, tmp_path / "LATJND1.h5", constant(30, 1.0), overwrite=False)
    names = ("a.png", "b.png", "c.png", "d.mkv")
    for name in names[:3]:
        rgb = picture(1, 96 if name == "b.png" else 64, 64)
        Image.fromarray(rgb).save(tmp_path / name)
    ffmpeg("-i", tmp_path / "b.png", "-pix_fmt", "yuv420p", tmp_path / "d.mkv")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(failing))
    binary.cache_clear()
    try:
        given = ("--jnd_value", "JND1", "--model_weights_path", tmp_path, "--unit", "QP")
        paths = [tmp_path / name for name in names]
        done = in_process("LAT.py", "predict", *paths, *given)
        target = tmp_path / "out.mp4"
        encoded = in_process("LAT.py", "encode", paths[3], target, *given[:-2])
    finally:
        binary.cache_clear()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [name for name in names if name in done.stdout] == ["a.png", "c.png"]
    failure = "its statistics cannot be measured at 64x96 pixels"
    assert encoded.returncode == 1 and not target.exists()
    for name, said in (("b.png", done), ("d.mkv", done), ("d.mkv", encoded)):
        (line,) = [line for line in said.stderr.splitlines() if name in line]
        assert f"{name}: {failure}" in line


def test_a_picture_unlike_all_others_is_told(weights, tmp_path):
    path = tmp_path / "LATJND1.h5"
    add_regression(weights, path, constant(30, 0.5, familiar=2.0), overwrite=False)
    (prediction,) = Predictor("LAT", path, "JND1").predict_frames([picture(4, 200, 300)])
    assert prediction.notes == [UNFAMILIAR]


def test_it_is_kept_with_the_converted_model(weights, tmp_path):
    path = tmp_path / "LATJND1.h5"
    add_regression(weights, path, constant(30, 1.0), overwrite=False)
    for _ in range(2):  # converted, and from the cache
        predictor = Predictor("LAT", path, "JND1", runtime="openvino")
        assert predictor.levels(picture(4, 64, 64)) == pytest.approx([30])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Flat frames, whose levels depend on statistics that have nothing to do with the frames."""
    folder, rows = tmp_path_factory.mktemp("root"), []
    for split, count in (("train", 30), ("valid", 8)):
        (folder / split).mkdir()
        lines = []
        for number in range(count):
            name = f"{split}/{number:02}.png"
            Image.fromarray(np.full((352, 640, 3), 9 * number % 256, np.uint8)).save(folder / name)
            value = np.sin(number)
            lines.append(f"{25 + 3 * value:.4f} 30 35")
            rows.append({"file": name, STATISTICS: [value] * COUNT})
        (folder / split / "JND-Levels.txt").write_text("\n".join(lines))
    write_statistics(folder, rows)
    return folder


def test_refine_fits_on_train_and_weighs_on_valid(in_process, weights, root, tmp_path):
    """The untrained head errs by far more than the regression, so this gets all of the weight."""
    weights.with_suffix(".entropy.npz").write_bytes(b"an entropy model")
    given = ("--jnd_value", "JND1", "--data_dir", root, "--model_weights_path", weights)
    done = in_process("LAT", "refine", *given, "--out", tmp_path / "refined.h5")
    assert done.returncode == 0, done.stderr
    assert "the regression counts 1.00, the model 0.00" in done.stdout
    assert (tmp_path / "refined.entropy.npz").read_bytes() == b"an entropy model"
    regression = read_weight_file(tmp_path / "refined.h5").regression
    assert len(regression.points) == 30  # valid's eight pictures are among train's here
    value = np.full((1, COUNT), np.sin(11), np.float32)
    assert regression.predict(value)[0, 0] == pytest.approx(25 + 3 * np.sin(11), abs=0.2)
    again = in_process("LAT", "refine", *given, "--out", tmp_path / "refined.h5")
    one_line(again, 1, tmp_path / "refined.h5", "--overwrite")
    given = (*given[:-1], tmp_path / "refined.h5")
    again = in_process("LAT", "refine", *given, "--out", tmp_path / "twice.h5")
    one_line(again, 1, "already refined")
    assert not (tmp_path / "twice.h5").exists()


def test_refine_refuses_levels_of_another_codec(in_process, weights, root, tmp_path):
    of_jpeg = tmp_path / "LATJND1.h5"
    of_jpeg.write_bytes(weights.read_bytes())
    with h5py.File(of_jpeg, "a") as file:
        file.attrs["labels_codec"] = "JPEG quality"
    given = ("--jnd_value", "JND1", "--data_dir", root, "--model_weights_path", of_jpeg)
    done = in_process("LAT", "refine", *given, "--out", tmp_path / "refined.h5")
    one_line(done, 1, root, "has levels in H.264 QP", "predicts levels in JPEG quality")
    assert not (tmp_path / "refined.h5").exists()
