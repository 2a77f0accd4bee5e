"""Features on disk: one writer, whole or not there, and of these backbones and images only."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common.base.errors import UserError
from common.base.framework import tf
from common.training.features import cache_features
from tests.processes import REPO
from tests.synthetic import picture


def backbones() -> tf.keras.Model:
    """Two of a few weights, on frames as large as any."""
    frames = tf.keras.Input((352, 640, 3))
    convolutions = [
        tf.keras.layers.Conv2D(2, 4, 8, kernel_initializer=tf.keras.initializers.Constant(value))
        for value in (0.5, 2)
    ]
    return tf.keras.Model(frames, [convolution(frames) for convolution in convolutions])


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.fromarray(picture(number)).save(path, compress_level=1)
    return paths


def _expected(images, factor, mirrored=False):
    """By hand: the sum of 4x4 pixels of all colours, twice, 8 pixels apart."""
    frames = np.stack([np.asarray(Image.open(path)) for path in images]).astype(np.float64)
    frames = frames[:, :, ::-1] if mirrored else frames
    rows = sum(frames[:, row : 349 + row : 8] for row in range(4))
    sums = sum(rows[:, :, column : 637 + column : 8].sum(-1) for column in range(4))
    return factor * np.stack([sums, sums], axis=-1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_features_are_what_the_backbones_give(images, tmp_path, mirrored):
    paths = cache_features(backbones(), images, tmp_path / "cache", mirrored)
    for path, factor in zip(paths, (0.5, 2)):
        features = np.load(path, mmap_mode="r")
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, _expected(images, factor, mirrored), rtol=1e-5)
    again = {path: path.stat().st_mtime_ns for path in paths}
    assert cache_features(backbones(), images, tmp_path / "cache", mirrored) == paths
    assert {path: path.stat().st_mtime_ns for path in paths} == again


def test_in_half_precision_they_take_half_the_space(images, tmp_path):
    whole = cache_features(backbones(), images, tmp_path)
    halves = cache_features(backbones(), images, tmp_path, precision="float16")
    assert not set(whole) & set(halves)
    for path, half, factor in zip(whole, halves, (0.5, 2)):
        features = np.load(half)
        assert features.dtype == np.float16
        np.testing.assert_allclose(features, _expected(images, factor), rtol=2**-11, atol=1e-3)
        assert half.stat().st_size - 128 == (path.stat().st_size - 128) / 2
    # In the middle of what float16 holds, the largest is 65,504; not infinite beyond.
    loud = backbones()
    loud.layers[1].set_weights([weight + 20 for weight in loud.layers[1].get_weights()])
    first, _ = cache_features(loud, images, tmp_path, precision="float16")
    assert np.isfinite(np.load(first)).all() and np.load(first).max() == 65504


def test_other_images_or_weights_have_other_features(images, tmp_path):
    made = cache_features(backbones(), images, tmp_path / "cache")
    other = backbones()
    other.layers[1].bias.assign([1, 0])
    of_other = cache_features(other, images, tmp_path / "cache")
    images[0].write_bytes(images[1].read_bytes())
    of_others = cache_features(backbones(), images, tmp_path / "cache")
    assert len({*made, *of_other, *of_others}) == 6


def test_an_image_that_cannot_be_read_leaves_nothing_half_made(images, tmp_path):
    images[2].write_bytes(images[2].read_bytes()[:9000])
    with pytest.raises(UserError, match=r"2\.png: cannot be read as an image"):
        cache_features(backbones(), images, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_of_several_processes_one_makes_them_and_all_have_them(images, tmp_path):
    cache = tmp_path / "cache"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.test_features import backbones, cache_features\n"
        "images = [Path(name) for name in sys.argv[2:]]\n"
        "for path in cache_features(backbones(), images, Path(sys.argv[1])):\n"
        "    print(path, path.stat().st_mtime_ns)\n"
    )
    command = [sys.executable, "-c", program, str(cache), *map(str, images)]
    processes = [
        subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0] == said[1][0] != b""
    files = [path for path in cache.iterdir() if path.suffix == ".npy"]
    assert len(files) == 2 and not any("partial" in path.name for path in cache.iterdir())
