"""The baselines without a network: their features by hand, and what they learn of known levels."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LinearRegression

from common.base.constants import QP
from common.data.gradients import gradient_percentiles
from common.data.manifest import COLUMNS, write_manifest
from common.data.split import read_split, read_train_split
from common.evaluation.report.baselines import predict_baselines
from common.models.labels import PROXY, VIEWERS
from common.video import h264, quality


def test_a_slope_has_its_own_gradient():
    """Luma that rises by 3 a column and 4 a row: 5 everywhere, 10 and 20 of the reduced ones."""
    rows, columns = np.mgrid[:24, :32]
    grey = (3 * columns + 4 * rows).astype(np.uint8)
    numbers = gradient_percentiles(np.repeat(grey[..., None], 3, axis=2))
    per_scale = numbers[:42].reshape(3, 2, 7)
    for scale, (gradient, laplacian) in zip((1, 2, 4), per_scale):
        assert np.exp(gradient) - 0.5 == pytest.approx(7 * [5 * scale], abs=0.01)
        assert np.exp(laplacian) - 0.5 == pytest.approx(7 * [0], abs=0.01)
    assert numbers[42:] == pytest.approx([grey.mean(), grey.std()])


def test_an_edge_counts_by_its_share():
    """Of 31 pairs of columns one differs, by 100: 3 in 100 of the gradients, more of Laplacians."""
    grey = np.where(np.arange(32) < 16, 50, 150) * np.ones((24, 1))
    numbers = gradient_percentiles(np.repeat(grey[..., None], 3, axis=2))
    gradient, laplacian = np.exp(numbers[:14].reshape(2, 7)) - 0.5
    assert gradient == pytest.approx([0, 0, 0, 0, 0, 0, 100], abs=0.01)  # the 99th of 1 in 31
    assert laplacian == pytest.approx([0, 0, 0, 0, 0, 100, 100], abs=0.01)  # of 2 in 30


@pytest.fixture
def root(tmp_path):
    """Noise of many strengths, whose levels are linear in the logarithm of the strength."""
    random, rows = np.random.default_rng(0), []
    for split, count in (("train", 24), ("test", 6)):
        (tmp_path / split).mkdir()
        lines = []
        for number, strength in enumerate(np.geomspace(2, 40, count)):
            noise = 128 + strength * random.standard_normal((96, 176, 1)) * np.ones(3)
            name = f"{split}/{number:02d}.png"
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
            levels = [f"{20 + 4 * np.log(strength) + more:.3f}" for more in (0, 3, 6)]
            lines.append(" ".join(levels))
            named = dict(zip(("jnd1", "jnd2", "jnd3"), levels))
            told = {"file": name, "content": f"{number // 2}", "codec": QP, "level_kind": PROXY}
            rows.append({**dict.fromkeys(COLUMNS, ""), **told, **named})
        (tmp_path / split / "JND-Levels.txt").write_text("\n".join(lines))
    write_manifest(tmp_path, rows)
    return tmp_path


def test_they_learn_what_follows_from_what_they_see(root, tmp_path):
    train, test = read_train_split(root), read_split(root, "test", levels_needed=True)
    assert (train.name, len(train.images), len(set(train.contents))) == ("train", 24, 12)
    predictions, cpu_seconds = predict_baselines(train, test, tmp_path / "cache")
    gradients, encode = dict.fromkeys(title for title, _ in predictions)
    trial = round(float(np.median(train.true("JND1"))))
    assert encode == f"baseline: one encode at {trial}, its VMAF"
    for order, level in enumerate(("JND1", "JND2", "JND3")):
        assert predictions[gradients, level] == pytest.approx(test.levels[:, order], abs=0.7)
        assert predictions[encode, level].shape == (6,)
    # An encode and its measures take at least what ffmpeg needs to start twice.
    assert 0.001 < cpu_seconds[gradients] < 1
    assert 0.01 < cpu_seconds[encode] < 2


def test_one_encode_is_measured_by_ffmpeg_and_fitted_by_a_cubic(root, tmp_path):
    """The same cubic by scikit-learn's plain least squares, through the VMAF of the encoder's."""
    train, test = read_train_split(root), read_split(root, "test", levels_needed=True)
    predictions, _ = predict_baselines(train, test, tmp_path / "cache")
    encode = list(predictions)[-1][0]
    qp = round(float(np.median(train.true("JND1"))))

    def vmaf(split):
        frames = [np.asarray(Image.open(image)) for image in split.images]
        return np.array([quality.measure(rgb, h264.encode(rgb, qp))["vmaf"] for rgb in frames])

    seen, asked = vmaf(train), vmaf(test)
    centre, spread = seen.mean(), seen.std()
    cubed = [np.stack([((x - centre) / spread) ** power for power in (1, 2, 3)], 1)
             for x in (seen, asked)]  # fmt: skip
    expected = LinearRegression().fit(cubed[0], train.true("JND1")).predict(cubed[1])
    assert predictions[encode, "JND1"] == pytest.approx(expected, abs=0.5)


def test_viewers_levels_are_asked_of_bits_and_psnr_too(root, tmp_path):
    text = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(text.replace(PROXY, VIEWERS))
    train, test = read_train_split(root), read_split(root, "test", levels_needed=True)
    predictions, _ = predict_baselines(train, test, tmp_path / "cache")
    encode = list(predictions)[-1][0]
    assert encode.endswith("its bits, PSNR and VMAF")
    # The bits that noise takes tell its strength.
    assert predictions[encode, "JND2"] == pytest.approx(test.true("JND2"), abs=0.7)


def test_no_baselines_without_contents_to_learn_from(root, tmp_path):
    train, test = read_train_split(root), read_split(root, "test", levels_needed=True)
    few = {"images": train.images[:8], "levels": train.levels[:8], "rows": train.rows[:8]}
    for each in (None, dataclasses.replace(train, **few)):  # 4 contents
        assert predict_baselines(each, test, tmp_path) == ({}, {})
    (root / "train" / "JND-Levels.txt").unlink()
    assert read_train_split(root) is None


def test_gradients_are_kept(root, tmp_path):
    train, test = read_train_split(root), read_split(root, "test", levels_needed=True)
    first, _ = predict_baselines(train, test, tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len([path for path in files if "gradients" in path.parts]) == 30
    again, _ = predict_baselines(train, test, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == files
    for key, levels in first.items():
        assert again[key].tolist() == levels.tolist()
