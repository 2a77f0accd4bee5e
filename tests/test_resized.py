"""The resize to the models' frame, against what the published system made of five files."""

import numpy as np
import pytest
from PIL import Image

from common.data.frames import resize
from common.data.pictures import read_rgb

FILES = (
    "exif_rotated_640x360.jpg",
    "frame_640x360.png",
    "gray_500x333.png",
    "photo_1280x720.jpg",
    "rgba_500x333.png",
)


@pytest.mark.parametrize("name", FILES)
def test_equals_the_published_frames_to_the_bit(shared, name):
    folder = shared / "reference" / "loading"
    expected = Image.open(folder / f"{name.split('.')[0]}.expected.png").convert("RGB")
    assert np.array_equal(resize(read_rgb(folder / name)), np.asarray(expected))


def test_a_frame_of_the_right_size_stays_as_it_is():
    frame = np.random.default_rng(0).integers(0, 256, (352, 640, 3), dtype=np.uint8)
    assert np.array_equal(resize(frame), frame)


def test_half_pixel_centres_by_hand():
    # New centres lie at -0.25, 0.25, 0.75, 1.25 of the two old pixels.
    column = np.array([[[0, 0, 0]], [[100, 100, 100]]], np.uint8)
    assert resize(column, 4, 1)[:, 0, 0].tolist() == [0, 25, 75, 100]


def test_does_not_antialias():
    # Every fourth column is white; a quarter of the width samples between columns 1 and 2 alone.
    stripes = np.zeros((8, 16, 3), np.uint8)
    stripes[:, ::4] = 255
    assert resize(stripes, 8, 4).max() == 0
