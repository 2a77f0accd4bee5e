"""Varied frames: each change does what it is called, and `photos --vary` makes them as it says."""

import re
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.data.manifest import read_manifest
from common.datasets.augmentation import STRENGTHS, augment, change
from tests.processes import one_line
from tests.synthetic import hashes, picture

FRAME = Image.fromarray(picture(3, 96, 160))


def _rgb(frame: Image.Image) -> np.ndarray:
    return np.asarray(frame).astype(float)


def _change(frame: np.ndarray | Image.Image, name: str, strength: float) -> np.ndarray:
    frame = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    return _rgb(change(frame, name, strength, Random(1)))


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1))
def test_a_key_gives_one_frame_and_says_whatchange(key):
    frame, told = augment(FRAME, key)
    again, told_again = augment(FRAME, key)
    assert told == told_again
    assert np.array_equal(_rgb(frame), _rgb(again))
    assert (frame.size, frame.mode) == (FRAME.size, "RGB")
    parts = re.findall(r"(\w+) ([\d.e-]+)", told)
    assert told == ", ".join(map(" ".join, parts)) != ""
    names = [name for name, _ in parts]
    assert names == [name for name in STRENGTHS if name in names]
    for name, strength in parts:
        least, greatest = STRENGTHS[name]
        assert 0.99 * least <= float(strength) <= 1.01 * greatest


def test_keys_differ_and_use_every_change():
    told = [augment(FRAME, str(number))[1] for number in range(60)]
    assert len(set(told)) == 60
    for name in STRENGTHS:
        assert 15 < sum(name in each for each in told) < 45


def test_noise_has_the_standard_deviation_that_is_told():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = _change(grey, "noise", 6)
    assert noisy.mean() == pytest.approx(128, abs=0.1)
    assert noisy.std() == pytest.approx(6, rel=0.02)
    assert abs(np.corrcoef(noisy[:-1].ravel(), noisy[1:].ravel())[0, 1]) < 0.02


def test_a_blurred_edge_is_the_normal_distribution():
    edge = np.zeros((20, 60, 3), np.uint8)
    edge[:, 30:] = 200
    slope = np.diff(_change(edge, "blur", 1.5)[10, :, 0]) / 200
    places = np.arange(len(slope))
    assert slope.sum() == pytest.approx(1, abs=0.01)
    deviation = np.sqrt(slope @ (places - slope @ places) ** 2)
    assert deviation == pytest.approx(1.5, rel=0.1)  # Pillow blurs by three boxes


def test_gamma_contrast_and_saturation_by_hand():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    expected = np.rint(255 * (np.arange(256) / 255) ** 1.5)
    assert np.array_equal(_change(ramp, "gamma", 1.5)[0, :, 0], expected)
    contrast = _change(ramp, "contrast", 0.5)
    assert contrast.std() == pytest.approx(ramp.std() / 2, rel=0.02)
    assert contrast.mean() == pytest.approx(127.5, abs=1)
    grey = _change(FRAME, "saturation", 0)
    assert np.array_equal(grey, np.repeat(grey[..., :1], 3, axis=2))
    spread = _rgb(FRAME).std(axis=2).mean()
    assert _change(FRAME, "saturation", 0.5).std(axis=2).mean() == pytest.approx(
        spread / 2, rel=0.05
    )


def test_scale_loses_detail_and_sharpening_gains_it():
    def detail(rgb: np.ndarray) -> float:
        return np.abs(np.diff(rgb, axis=1)).mean()

    noisy = Image.fromarray(_change(FRAME, "noise", 10).astype(np.uint8))
    whole = detail(_rgb(noisy))
    assert detail(_change(noisy, "scale", 0.5)) < 0.3 * whole
    assert 0.5 * whole < detail(_change(noisy, "scale", 0.95)) < whole
    assert 1.1 * whole < detail(_change(noisy, "sharpening", 0.3)) < 1.5 * whole
    assert detail(_change(noisy, "sharpening", 1.5)) > 1.5 * whole


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(5):
        Image.fromarray(picture(20 + number, 120, 200)).save(folder / f"img{number}.png")
    return folder


def _photos(pictures, out, *more):
    asked = "-m", "common.prepare", "photos", "--images", pictures, "--out", out, "--keep_size"
    return (*asked, "--split", "60/20/20", "--crops", "2", *more)


def test_only_train_has_variations_and_the_rest_is_as_without(pictures, command, tmp_path):
    done = command(*_photos(pictures, tmp_path / "varied", "--vary", "1"))
    assert done.returncode == 0, done.stderr
    assert command(*_photos(pictures, tmp_path / "plain")).returncode == 0
    rows = {row["file"]: row for row in read_manifest(tmp_path / "varied")}
    of_train = [file for file in rows if file.startswith("train/")]
    assert len(of_train) == 12 and len(rows) == 16
    assert sorted(file for file, row in rows.items() if row["variation"]) == sorted(
        file.replace(".png", "v1.png") for file in of_train if "v1" not in file
    )
    plain = hashes(tmp_path / "plain")
    both = hashes(tmp_path / "varied")
    images = [name for name in plain if name.endswith(".png") and "sheet" not in name]
    assert len(images) == 10 * 4
    assert all(both[name] == plain[name] for name in images)
    for file, row in rows.items():
        if not row["variation"]:
            continue
        before = Image.open(tmp_path / "varied" / file.replace("v1.png", ".png"))
        assert not np.array_equal(before, Image.open(tmp_path / "varied" / file))
        # The levels are those of the frame as it became.
        assert all(float(a) < b for a, b in zip(row["scores"].split("/"), (94.5, 91.25, 87)))
    checked = command("-m", "common.prepare", "check", tmp_path / "varied")
    assert (checked.returncode, "0 errors" in checked.stdout) == (0, True)


def test_other_splits_may_have_them_and_nothing_else_may_be_asked(pictures, command, tmp_path):
    asked = "--vary", "2", "--vary_splits", "valid,test"
    assert command(*_photos(pictures, tmp_path / "root", *asked)).returncode == 0
    rows = read_manifest(tmp_path / "root")
    counts = {split: [0, 0] for split in ("train", "valid", "test")}
    for row in rows:
        counts[row["split"]][bool(row["variation"])] += 1
    assert counts == {"train": [6, 0], "valid": [2, 4], "test": [2, 4]}
    again = command(*_photos(pictures, tmp_path / "root", "--vary", "3", *asked[2:]))
    one_line(again, 1, "vary was 2, is 3")
    one_line(command(*_photos(pictures, tmp_path / "x", "--vary", "-1")), 2, "--vary")
    wrong = command(*_photos(pictures, tmp_path / "x", "--vary_splits", "tests"))
    one_line(wrong, 2, "'tests' is not a list of splits such as train,valid")
