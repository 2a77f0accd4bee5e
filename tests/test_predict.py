"""`predict`: any pictures and videos, the document it prints, and what a picture is seen as."""

import json
import subprocess

import h5py
import jsonschema
import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from common.base.errors import UserError
from common.data.frames import VIEWS, crop_evenly
from common.inference.inputs import predict_inputs
from common.inference.predictor import Predictor
from common.inference.records import Prediction
from common.inference.video import predict_video
from common.video.ffmpeg import binary
from common.video.probe import probe
from common.video.scenes import Scene, find_scenes
from tests import golden
from tests.processes import REPO, one_line
from tests.synthetic import picture

SCHEMA = json.loads((REPO / "docs" / "prediction.schema.json").read_text())
LEVEL = np.array(golden.EXPECTED["LAT"]["levels"])[:, 0]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A golden frame, a portrait, and a video that cuts from one picture to another after 1 s."""
    folder = tmp_path_factory.mktemp("inputs")
    Image.fromarray(golden.frames(1)[0][..., ::-1]).save(folder / "1.png")
    (folder / "below").mkdir()
    Image.fromarray(picture(5, 800, 400)).save(folder / "below" / "portrait.jpg")
    for number in (0, 1):
        Image.fromarray(picture(7 + 9 * number, 288, 512)).save(folder / f"part{number}.bmp")
    parts = [word for number in (0, 1)
             for word in ("-loop", "1", "-t", "1", "-i", folder / f"part{number}.bmp")]  # fmt: skip
    subprocess.run(
        [binary("libx264"), "-loglevel", "error", *parts, "-filter_complex", "concat=n=2",
         "-pix_fmt", "yuv420p", "-qp", "10", folder / "cut.mp4"], check=True,
    )  # fmt: skip
    for path in folder.glob("*.bmp"):
        path.unlink()
    return folder


def predict(in_process, weights, *more):
    given = ("--jnd_value", "JND1", "--model_weights_path", weights)
    return in_process("LAT.py", "predict", "--precision", "float32", *given, *more)


def test_the_document_of_a_folder(in_process, weights, inputs):
    done = predict(in_process, weights, inputs, "--view", "squashed", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert document["model"] == "LAT"
    assert document["unit"] == document["labels"] == "not recorded in the weight file"
    frame, portrait, video = sorted(document["inputs"], key=lambda each: each["width"] != 640)
    assert frame["file"] == str(inputs / "1.png")
    assert frame["levels"]["JND1"] == pytest.approx(LEVEL[0], rel=1e-3)  # the published model's
    portrait, video = sorted((portrait, video), key=lambda each: each["kind"])
    assert (portrait["kind"], portrait["width"], portrait["height"]) == ("picture", 400, 800)
    assert (video["kind"], video["width"], video["height"]) == ("video", 512, 288)
    assert (video["frames"], video["seconds"]) == (50, pytest.approx(2, abs=0.01))
    first, second = video["scenes"]
    assert (first["first_frame"], first["last_frame"], second["last_frame"]) == (0, 24, 49)
    assert second["start"] == first["end"] == pytest.approx(1, abs=0.01)
    assert first["sampled_frames"] == [4, 12, 20]  # in the middles of three thirds
    levels = [scene["levels"]["JND1"] for scene in (first, second)]
    assert levels[0] != levels[1] and video["levels"]["JND1"] == min(levels)


def test_lines_and_table(in_process, weights, inputs, tmp_path):
    csv = tmp_path / "new" / "levels.csv"
    done = predict(in_process, weights, inputs / "1.png", inputs / "cut.mp4", "--csv", csv)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(csv)
    assert table.kind.tolist() == ["picture", "video", "scene", "scene"]
    assert table.JND1[0] == pytest.approx(LEVEL[0], rel=1e-3)
    lines = done.stdout.splitlines()
    assert lines[1].split() == [str(inputs / "1.png"), f"{table.JND1[0]:.1f}"]
    assert lines[3].split() == ["0.0", "to", "1.0", "s", f"{table.JND1[2]:.1f}"]
    assert "Levels: not recorded in the weight file" in lines[-1]


@pytest.mark.parametrize(
    ("codec", "unit", "strictest"),
    [("H.264 QP", "QP", min), ("JPEG quality", "quality", max)],
)
def test_the_weights_tell_what_levels_are(
    codec, unit, strictest, in_process, weights, inputs, tmp_path
):
    path = tmp_path / "LATJND1.h5"
    path.write_bytes(weights.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs.update({"labels_codec": codec, "labels_level_kind": "viewers"})
    done = predict(in_process, path, inputs / "cut.mp4", "--json")
    document = json.loads(done.stdout)
    assert (document["codec"], document["unit"]) == (codec, unit)
    assert document["labels"] == "viewers' judgements"
    (video,) = document["inputs"]
    scenes = [scene["levels"]["JND1"] for scene in video["scenes"]]
    assert video["levels"]["JND1"] == strictest(scenes)


def test_codec_jpeg_takes_its_own_weights_and_no_videos(in_process, weights, inputs, tmp_path):
    path = tmp_path / "LATJND1-jpeg.h5"
    path.write_bytes(weights.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["labels_codec"] = "JPEG quality"
    given = inputs / "cut.mp4", inputs / "1.png", "--codec", "jpeg", "--json"
    done = predict(in_process, tmp_path, *given)
    assert done.returncode == 1 and "cut.mp4: is a video" in done.stderr
    document = json.loads(done.stdout)
    (found,) = document["inputs"]
    assert (found["file"], document["codec"]) == (str(inputs / "1.png"), "JPEG quality")


def test_what_is_no_video_is_named(tmp_path):
    Image.fromarray(picture(1, 40, 40)).save(tmp_path / "a.png")
    (tmp_path / "b.txt").write_text("text")
    for name, said in (
        ("a.png", "a.png: is a picture, not a video; Predictor.predict reads it"),
        ("b.txt", "b.txt: neither a picture nor a video"),
        ("", "is a folder, not a video"),
        ("none", "none: No such file"),
    ):
        with pytest.raises(UserError, match=said):
            predict_video(tmp_path / name)


def test_the_user_tells_the_unit_where_weights_do_not(in_process, weights, inputs):
    done = predict(in_process, weights, inputs / "1.png", "--json", "--unit", "QP")
    assert json.loads(done.stdout)["unit"] == "QP"


def test_bad_inputs_are_left_out_and_told(in_process, weights, inputs, tmp_path):
    broken = {"cut.png": b"\x89PNG\r\n", "empty.mp4": b"", "text.mov": b"no video" * 99}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    whole = (inputs / "cut.mp4").read_bytes()
    (tmp_path / "tail.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    done = predict(in_process, weights, tmp_path, inputs / "1.png", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert [each["file"] for each in document["inputs"]] == [str(inputs / "1.png")]
    assert len(document["errors"]) == 4
    told = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    for name in (*broken, "tail.mp4"):
        (line,) = [line for line in told if f"{tmp_path / name}: " in line]
        assert "cannot be read as a" in line


def test_what_is_not_there_is_one_line(command, weights, tmp_path, no_tensorflow):
    given = ("--jnd_value", "JND1", "--model_weights_path", weights)
    for path, said in ((tmp_path / "no.png", "no such file or folder"), (tmp_path, "no pictures")):
        done = command("LAT.py", "predict", path, *given, env=no_tensorflow)
        one_line(done, 1, path, said)
    none = ("--jnd_value", "JND1", "--model_weights_path", tmp_path)
    one_line(command("LAT.py", "predict", path, *none, env=no_tensorflow), 1, "no LATJND1.h5")
    one_line(command("LAT.py", "predict", env=no_tensorflow), 2, "PATH")


def test_crops_lie_in_the_middles_of_equal_shares():
    rows, columns = np.mgrid[:1080, :1920]
    rgb = np.stack([rows // 8, columns // 8, rows * 0], axis=-1).astype(np.uint8)
    parts = crop_evenly(rgb)
    assert [part.shape for part in parts] == 4 * [(352, 640, 3)]
    # Shares of 540 rows and 960 columns; parts of 352 and 640 in their middles.
    tops, lefts = (94, 634), (160, 1120)
    expected = [(top // 8, left // 8) for top in tops for left in lefts]
    assert [tuple(part[0, 0, :2]) for part in parts] == expected


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(352, 640, 1), (353, 641, 4), (352, 1000, 2), (100, 100, 2), (900, 300, 2), (1, 1, 2)],
)
def test_crops_cover_small_pictures(height, width, count):
    rgb = np.full((height, width, 3), 77, np.uint8)
    parts = crop_evenly(rgb)
    assert len(parts) <= 4 and all(part.shape == (352, 640, 3) for part in parts)
    assert len(parts) == count and all((part == 77).all() for part in parts)


def test_the_centre_keeps_its_shape():
    """Of a square the middle 0.55 of its height, all of its width."""
    rows, _ = np.mgrid[:1000, :1000]
    rgb = np.repeat((rows // 4).astype(np.uint8)[..., None], 3, axis=2)
    (part,) = VIEWS["centre"](rgb)
    assert part.shape == (352, 640, 3)
    assert part[0, 0, 0] == pytest.approx(225 / 4, abs=1)
    assert part[-1, 0, 0] == pytest.approx(775 / 4, abs=1)


@pytest.mark.parametrize(
    ("frames", "count", "sampled"), [(10, 3, [1, 5, 8]), (2, 3, [0, 1]), (1, 1, [0]), (9, 1, [4])]
)
def test_sampled_frames(frames, count, sampled):
    numbers = Scene(100, 100 + frames, 0, 1).sample(count)
    assert numbers == [100 + number for number in sampled]


def test_a_flash_is_no_scene(tmp_path):
    """Two frames of another picture within two seconds: no cut that lasts, one scene."""
    for number, name in enumerate("ab"):
        Image.fromarray(picture(7 + 9 * number, 144, 256)).save(tmp_path / f"{name}.bmp")
    a, b = tmp_path / "a.bmp", tmp_path / "b.bmp"
    parts = [("1", a), ("0.08", b), ("1", a)]
    words = [word for seconds, path in parts for word in ("-loop", "1", "-t", seconds, "-i", path)]
    subprocess.run(
        [binary("libx264"), "-loglevel", "error", *words, "-filter_complex", "concat=n=3",
         "-pix_fmt", "yuv420p", "-qp", "10", tmp_path / "flash.mp4"], check=True,
    )  # fmt: skip
    scenes = find_scenes(probe(tmp_path / "flash.mp4"))
    assert [(scene.first, scene.end) for scene in scenes] == [(0, 52)]


def test_memory_stays_level(weights, tmp_path):
    """Whatever the sizes of the frames, and however many pictures there were."""
    predictor = Predictor("LAT", weights, "JND1")
    for number in range(20):
        frame = picture(number, 20 + number, 200 - number)
        Image.fromarray(frame).save(tmp_path / f"{number}.png")

    def predict_all():
        pictures = sorted(tmp_path.glob("*.png"))
        results = predict_inputs(predictor, pictures, "centre", 3)
        assert all(isinstance(each, Prediction) for each in results)
        for size in range(20, 32, 2):
            predictor.levels(np.zeros((1 + size % 3, size, 2 * size, 3), np.uint8))
        return psutil.Process().memory_info().rss

    before = predict_all()
    assert predict_all() - before < 60e6
