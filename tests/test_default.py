"""What a newcomer sees first: the default model on the sample frames, with no argument."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.constants import LEVELS, QUALITY
from common.data.pictures import read_rgb
from common.datasets.jpeg_labels import find_jpeg_levels
from common.inference.predictor import Predictor
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.weights import read_weights
from tests.processes import REPO

pytestmark = pytest.mark.tensorflow

SAMPLES, WEIGHTS = REPO / "samples", REPO / "weights" / "MJLAT.h5"


@pytest.fixture(scope="module")
def tested(command, tmp_path_factory):
    """`python MJLAT.py test`, run elsewhere, so that its results land there."""
    folder = tmp_path_factory.mktemp("elsewhere")
    done = command(REPO / "MJLAT.py", "test", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder / "results"


def test_the_samples_get_the_levels_of_the_training_run(tested):
    """Those that the weights gave before they were compacted, within 0.05 QP, and rising."""
    found = pd.read_csv(tested[1] / "test_predictions.csv", index_col="image")
    stored = pd.read_csv(REPO / "weights" / "samples.csv", index_col="image")
    assert list(found.index) == list(stored.index)
    levels = found[list(LEVELS)]
    assert (levels - stored[list(LEVELS)]).abs().to_numpy().max() < 0.05
    assert (levels.JND1 < levels.JND2).all() and (levels.JND2 < levels.JND3).all()


def test_it_tells_each_image_and_the_errors(tested):
    said, results = tested
    table = pd.read_csv(results / "test_predictions.csv")
    for _, row in table.iterrows():
        words = next(line for line in said.splitlines() if line.startswith(row.image)).split()
        wanted = [(row[level], row[f"{level}_label"]) for level in LEVELS]
        wanted = [number for one, label in wanted for number in (one, label, one - label)]
        assert [float(word) for word in words[1:]] == pytest.approx(wanted, abs=0.051)
    errors = pd.read_csv(results / "test_metrics.csv")
    mean = next(line for line in said.splitlines() if line.startswith("mean")).split()
    assert float(mean[1]) == pytest.approx(errors.mean_absolute_error.mean(), abs=0.006)
    assert float(mean[2]) == pytest.approx(errors.median_label_error.mean(), abs=0.006)
    assert "not viewers' judgements" in said


def test_the_picture_shows_each_image_beside_itself_at_jnd1(tested):
    with Image.open(tested[1] / "test_frames.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    for number, path in enumerate(sorted((SAMPLES / "test").glob("*.webp"))):
        # A line of 24 above each row of 352, gaps of 8, and two lines of title.
        top, height, width = 8 + 2 * 24 + number * (24 + 352 + 8) + 24, 352, 640
        shown = pixels[top : top + height]
        with Image.open(path) as image:
            frame = np.asarray(image.convert("RGB")).astype(int)
        assert (shown[:, 8 : 8 + width] == frame).all()
        differs = np.abs(shown[:, 16 + width : 16 + 2 * width] - frame).mean()
        assert 0.3 < differs < 6


@pytest.fixture(scope="module")
def sample_frames():
    return np.stack([read_rgb(path) for path in sorted((SAMPLES / "test").glob("*.webp"))])


@pytest.mark.parametrize("precision, apart", [("float32", 0.05), ("bfloat16", 0.15)])
def test_from_python_alone_or_together(sample_frames, precision, apart):
    """In bfloat16 0.1 QP more, where the processor has it."""
    predictor = Predictor("MJLAT", WEIGHTS, precision=precision)
    together = predictor.levels(sample_frames)
    stored = pd.read_csv(REPO / "weights" / "samples.csv")[list(LEVELS)]
    assert np.abs(together - stored).to_numpy().max() < apart
    alone = [predictor.levels(frame) for frame in sample_frames]
    assert together == pytest.approx(np.array(alone), abs=1e-3)


def test_jpeg_qualities_of_the_samples_are_near_those_of_a_search(in_process, sample_frames):
    """At each level with less than 0.6 of the error of the best constant answer."""
    done = in_process("MJLAT.py", "predict", "--codec", "jpeg", "--json", SAMPLES / "test")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["codec"] == QUALITY and "proxy" in document["labels"]
    predicted = [[row["levels"][level] for level in LEVELS] for row in document["inputs"]]
    true = [
        [level.exact for level in find_jpeg_levels(frame, whole=False)] for frame in sample_frames
    ]
    errors, spread = (
        np.abs(np.array(answer) - true).mean(axis=0)
        for answer in (predicted, np.median(true, axis=0))
    )
    assert (errors < 0.6 * spread).all(), (errors, spread)


def test_no_sample_is_a_photograph_that_the_model_was_trained_on():
    held_out = (REPO / "weights" / "held_out.txt").read_text().split()
    with (SAMPLES / "manifest.csv").open(newline="") as file:
        contents = {row["content"] for row in csv.DictReader(file)}
    assert len(contents) == 6 and contents <= set(held_out)


def test_what_comes_with_the_project_is_small():
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 4e6
    assert WEIGHTS.stat().st_size < 25e6
    assert sum(path.stat().st_size for path in WEIGHTS.parent.iterdir()) < 50e6


def test_plain_keras_reads_the_default_weights():
    ours, plain = (build_model(MODELS["MJLAT"]).whole for _ in range(2))
    read_weights(ours, WEIGHTS)
    plain.load_weights(WEIGHTS)
    for one, other in zip(ours.get_weights(), plain.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_the_other_models_say_how_to_get_weights(in_process):
    for name in set(MODELS) - {"MJLAT"}:
        value = [] if MODELS[name].multitask else ["--jnd_value", "JND2"]
        done = in_process(f"{name}.py", "test", *value)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert MODELS[name].weight_files(value[-1] if value else None)[0] in line
        assert "zenodo.org, record 11080876" in line and "train --help" in line
