"""Exported models, run by programs that know nothing of this project."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.constants import LEVELS
from common.base.framework import tf
from common.data.frames import VIEWS, resize
from common.data.pictures import read_rgb
from common.inference.predictor import Predictor
from tests import golden
from tests.processes import REPO, one_line, run

pytestmark = pytest.mark.tensorflow


# Plain TensorFlow and Pillow, in another folder. It prints the levels of each picture.
PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf
from PIL import Image
model, *pictures = sys.argv[1:]
pictures = [np.asarray(Image.open(path).convert("RGB")) for path in pictures]
if model.endswith(".tflite"):
    interpreter = tf.lite.Interpreter(model)
    def levels(rgb):
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], rgb.shape)
        run = interpreter.get_signature_runner("serving_default")
        return run(rgb=rgb)
else:
    run = tf.saved_model.load(model).signatures["serving_default"]
    def levels(rgb):
        return run(rgb=tf.constant(rgb))
found = [{name: float(level) for name, level in levels(rgb).items()} for rgb in pictures]
print(json.dumps(found))
assert not [name for name in sys.modules if name.split(".")[0] == "common"]
"""


def outside(folder, model, pictures):
    """The levels of pictures by that program."""
    arguments = [sys.executable, "-c", PROGRAM, str(model), *map(str, pictures)]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pd.DataFrame(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", ["folder", "model.tflite"])
def test_the_default_model_gives_the_levels_of_its_head(name, in_process, tmp_path):
    """Its regression on statistics of the whole picture is left out, and this is told."""
    out = tmp_path / name
    done = in_process("export", REPO / "weights" / "MJLAT.h5", out)
    assert done.returncode == 0, done.stderr
    assert f"{out}: MJ-LAT, RGB uint8 to JND1, JND2, JND3" in done.stdout
    assert "only its head is exported" in done.stderr
    assert list(tmp_path.iterdir()) == [out]
    samples = sorted((REPO / "samples" / "test").glob("*.webp"))
    found = outside(tmp_path, out, samples)
    predictor = Predictor()
    predictor.regression = None
    expected = predictor.levels(np.stack([read_rgb(sample) for sample in samples]))
    assert np.abs(found[[*LEVELS]].to_numpy() - expected).max() < 0.05

    again = run("-m", "common.export", REPO / "weights" / "MJLAT.h5", out)
    one_line(again, 1, out, "already exists")


def test_pictures_of_any_size_are_resized_inside(tmp_path):
    """As outside: the levels of a picture are those of it resized; alone or in a batch."""
    golden.write_weights("LAT", tmp_path / "LATJND2.h5")
    how = "--view", "squashed"  # as it was called up to 0.9
    done = run("-m", "common.export", tmp_path / "LATJND2.h5", tmp_path / "out", *how)
    assert done.returncode == 0, done.stderr
    frame = golden.frames(1)[0][..., ::-1]
    sizes = {"large": np.kron(frame, np.ones((2, 3, 1), np.uint8)), "odd": frame[:201, :333]}
    pictures = [tmp_path / "frame.png"]
    Image.fromarray(np.ascontiguousarray(frame)).save(pictures[0])
    for kind, rgb in sizes.items():
        for suffix, pixels in (("", rgb), ("_resized", resize(rgb))):
            pictures.append(tmp_path / f"{kind}{suffix}.png")
            Image.fromarray(np.ascontiguousarray(pixels)).save(pictures[-1])
    levels = outside(tmp_path, tmp_path / "out", pictures).JND2
    assert levels[0] == pytest.approx(golden.EXPECTED["LAT"]["levels"][0][0], rel=1e-3)
    assert levels[1] == pytest.approx(levels[2], abs=0.05)
    assert levels[3] == pytest.approx(levels[4], abs=0.05)
    batch = tf.saved_model.load(str(tmp_path / "out")).signatures["batch"]
    found = batch(rgb=tf.constant(np.stack([sizes["large"]] * 2)))["JND2"].numpy()
    assert found == pytest.approx([levels[1]] * 2, abs=1e-3)


def test_the_graph_crops_and_resizes_as_predict_does():
    """But for the truncations of its fixed point."""
    from common.inference import export

    random = np.random.default_rng(0)
    for height, width in ((352, 640), (720, 1280), (333, 500), (1, 1), (2000, 3), (411, 710)):
        rgb = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        batch = rgb[np.newaxis]
        for frames, view in ((batch, "stretched"), (export.crop_centre(batch), "centre")):
            differs = np.abs(export.resize(frames)[0].numpy().astype(int) - VIEWS[view](rgb)[0])
            assert differs.max() <= 1 and differs.mean() < 0.15


def test_mistakes_are_one_line(in_process, tmp_path):
    golden.write_weights("Backbone", tmp_path / "LATJND1.h5")
    (tmp_path / "BestModel.h5").touch()
    out = tmp_path / "out"

    def failing(weights, code, *said):
        one_line(in_process("export", weights, out), code, *said)
        assert not out.exists()

    failing(tmp_path / "BestModel.h5", 2, "BestModel.h5 does not name the model: add --model")
    failing(tmp_path / "MJLAT.h5", 1, tmp_path / "MJLAT.h5", "no such file")
    failing(tmp_path / "LATJND1.h5", 1, tmp_path / "LATJND1.h5", "holds another model")
    out = tmp_path / "model.onnx"
    failing(tmp_path / "LATJND1.h5", 2, "model.onnx: name a folder, or a .tflite file")
