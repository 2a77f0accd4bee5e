"""`encode` of several inputs into a folder: what is written, what stays, what is told."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import h5py
import psutil
import pytest
from PIL import Image

from tests import golden
from tests.processes import REPO, one_line, without_progress
from tests.synthetic import picture
from tests.videos import ffmpeg, pixels

SHAPES = ("-f", "lavfi", "-i", "testsrc2=s=128x96:d=0.4")


@pytest.fixture
def models(weights, tmp_path):
    """A folder with LAT's golden weights, for QPs and for JPEG qualities."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("LATJND1.h5", "LATJND1-jpeg.h5"):
        (folder / name).write_bytes(weights.read_bytes())
    with h5py.File(folder / "LATJND1-jpeg.h5", "a") as file:
        file.attrs["labels_codec"] = "JPEG quality"
    return folder


@pytest.fixture
def inputs(tmp_path):
    """A folder with two videos, a picture, a damaged video and a text."""
    folder = tmp_path / "in"
    (folder / "trip").mkdir(parents=True)
    ffmpeg(*SHAPES, "-pix_fmt", "yuv420p", folder / "a.mp4")
    ffmpeg(*SHAPES, "-vf", "negate", "-c:v", "ffv1", folder / "trip" / "b.avi")
    Image.fromarray(golden.frames(1)[0][..., ::-1]).save(folder / "photo.png")
    (folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:3000])
    (folder / "notes.txt").write_text("neither a picture nor a video")
    return folder


@pytest.fixture
def encode(in_process, models):
    def run(*words):
        given = ("--jnd_value", "JND1", "--model_weights_path", models, "--no_verify")
        return in_process("LAT.py", "encode", *words, *given)

    return run


def files(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_videos_and_pictures(encode, inputs, tmp_path):
    out, alone = tmp_path / "out", tmp_path / "alone.mp4"
    done = encode(inputs, out, "--json", "--min_qp", 30)
    assert done.returncode == 1
    assert "broken.mp4" in done.stderr and "(.txt)" in done.stderr
    assert files(out) == ["a.mp4", "photo.jpg", "trip/b.mkv"]
    document = json.loads(done.stdout)
    single = encode(inputs / "a.mp4", alone, "--json", "--min_qp", 30)
    assert single.returncode == 0 and pixels(alone) == pixels(out / "a.mp4")
    # A video has the document that it has alone.
    first, second = document["videos"]
    assert first == {**json.loads(single.stdout), "output": str(out / "a.mp4")}
    assert second["input"] == str(inputs / "trip" / "b.avi")
    assert any(".mkv" in note and ".avi" in note for note in second["notes"])
    assert first["notes"] == [] and "becomes a .mkv file" in done.stderr
    (picture,) = document["pictures"]["pictures"]
    assert picture["output"] == str(out / "photo.jpg")
    (error,) = document["errors"]
    assert error["file"] == str(inputs / "broken.mp4") and "cannot be read" in error["error"]
    for name, folder, found in (
        ("input_bytes", inputs, ["a.mp4", "photo.png", "trip/b.avi"]),
        ("output_bytes", out, files(out)),
    ):
        assert document[name] == sum((folder / each).stat().st_size for each in found)


def test_run_again_it_makes_only_what_is_missing(encode, inputs, tmp_path):
    out = tmp_path / "out"
    (inputs / "broken.mp4").unlink()
    assert encode(inputs, out).returncode == 0
    (out / "a.mp4").write_bytes(b"precious")
    (out / "trip" / "b.mkv").unlink()
    photo = (out / "photo.jpg").stat().st_mtime_ns
    done = encode(inputs, out, "--json")
    assert done.returncode == 0 and "2 outputs exist already; --overwrite" in done.stderr
    assert (out / "a.mp4").read_bytes() == b"precious"
    assert (out / "photo.jpg").stat().st_mtime_ns == photo
    document = json.loads(done.stdout)
    assert [each["output"] for each in document["videos"]] == [str(out / "trip" / "b.mkv")]
    assert document["existing"] == [str(out / "photo.jpg"), str(out / "a.mp4")]
    assert document["pictures"] is None and document["errors"] == []
    done = encode(inputs, out)
    assert (done.returncode, done.stdout) == (0, "Nothing is left to encode.\n")
    # Something that cannot be encoded is still an error.
    (inputs / "broken.mp4").write_bytes((inputs / "a.mp4").read_bytes()[:3000])
    assert encode(inputs, out).returncode == 1
    (inputs / "broken.mp4").unlink()
    assert encode(inputs, out, "--overwrite").returncode == 0
    assert len(pixels(out / "a.mp4")) == 10
    assert [path for path in out.rglob(".*")] == []


def test_the_document_of_pictures_does_not_depend_on_what_exists(encode, inputs, tmp_path):
    out, folder = tmp_path / "out", tmp_path / "photos"
    folder.mkdir()
    (inputs / "photo.png").rename(folder / "photo.png")
    first = json.loads(encode(folder, out, "--json").stdout)
    again = encode(folder, out, "--json")
    assert again.returncode == 0 and json.loads(again.stdout).keys() == first.keys()
    assert json.loads(again.stdout)["existing"] == [str(out / "photo.jpg")]
    assert encode(folder, out).stdout == "Nothing is left to encode.\n"
    (folder / "broken.png").write_bytes((folder / "photo.png").read_bytes()[:3000])
    again = encode(folder, out, "--json")
    assert again.returncode == 1 and json.loads(again.stdout).keys() == first.keys()
    (error,) = json.loads(again.stdout)["errors"]
    assert error["file"] == str(folder / "broken.png")
    assert encode(folder, out).stderr.splitlines()[-1] == "nothing was encoded"


def test_inputs_of_other_kinds_only(encode, inputs, tmp_path):
    (inputs / "b.txt").write_text("another")
    done = encode(inputs / "notes.txt", inputs / "b.txt", tmp_path / "out", "--aq")
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    told = done.stderr.splitlines()
    assert [line.rpartition(": ")[2] for line in told[:2]] == [
        "is neither a picture nor a video"
    ] * 2
    assert told[2].endswith("none of the inputs can be encoded") and len(told) == 3


def test_files_and_folders_into_a_folder(encode, inputs, tmp_path):
    out = tmp_path / "out"
    done = encode(inputs / "a.mp4", inputs / "trip", tmp_path / "none.mp4", out, "--json")
    assert done.returncode == 1 and files(out) == ["a.mp4", "b.mkv"]
    document = json.loads(done.stdout)
    assert document["pictures"] is None
    assert [error["file"] for error in document["errors"]] == [str(tmp_path / "none.mp4")]
    # One video into a folder has the document of one video.
    done = encode(inputs / "trip" / "b.avi", out, "--json", "--overwrite")
    assert done.returncode == 0 and json.loads(done.stdout)["output"] == str(out / "b.mkv")
    done = encode(inputs / "a.mp4", inputs / "trip", tmp_path / "dry", "--json", "--dry_run")
    assert done.returncode == 0 and len(json.loads(done.stdout)["videos"]) == 2
    assert not (tmp_path / "dry").exists()


def test_a_container_that_cannot_hold_the_codec_becomes_another(encode, inputs, tmp_path):
    clip, out = inputs / "clip.webm", tmp_path / "out"
    ffmpeg(*SHAPES, "-c:v", "libvpx", "-b:v", "1M", clip)
    done = encode(clip, inputs / "trip", out)  # H.264 by default
    assert done.returncode == 0 and "clip.webm: becomes a .mkv file" in done.stderr
    assert files(out) == ["b.mkv", "clip.mkv"]
    done = encode(clip, inputs / "trip", tmp_path / "av1", "--encoder", "svtav1", "--dry_run")
    assert done.returncode == 0 and "clip.webm: becomes" not in done.stderr
    (inputs / "a.mp4").rename(inputs / "a.mov")
    done = encode(inputs / "a.mov", clip, tmp_path / "av1", "--encoder", "svtav1")
    assert done.returncode == 0 and "av1 is not written into .mov files" in done.stderr
    assert files(tmp_path / "av1") == ["a.mkv", "clip.webm"]


@pytest.mark.parametrize("names", [["photo.png", "copy.png"], ["a.mp4", "trip"]])
def test_a_second_run_into_a_new_folder_is_refused(encode, models, inputs, tmp_path, names):
    """While the first one, which made the folder, is at work."""
    (inputs / "copy.png").write_bytes((inputs / "photo.png").read_bytes())
    out, given = tmp_path / "new" / "out", [inputs / name for name in names]
    words = [sys.executable, REPO / "LAT.py", "encode", *given, out, "--jnd_value", "JND1"]
    first = subprocess.Popen([*words, "--model_weights_path", models, "--no_verify"])
    while not list(out.glob(".*.lock")):
        assert first.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)  # the file is there a moment before it is locked
    first.send_signal(signal.SIGSTOP)
    try:
        one_line(encode(*given, out), 1, out, "in use by another run")
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait() == 0 and len(files(out)) == 2


@pytest.mark.parametrize("kind", ["pictures", "videos"])
def test_ctrl_c_is_told_once_and_leaves_nothing(kind, models, tmp_path):
    """Ctrl-C reaches ffmpeg, too, whose end is no fault of the files."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        if kind == "pictures":
            Image.fromarray(picture(number, 1200, 1600)).save(folder / f"{number}.png")
        else:
            clip = ("-f", "lavfi", "-i", "testsrc2=s=1280x720:d=4", "-pix_fmt", "yuv420p")
            ffmpeg(*clip, folder / f"{number}.mp4")
    words = [REPO / "LAT.py", "encode", folder, tmp_path / "new" / "out", "--jnd_value", "JND1"]
    words += ["--model_weights_path", models, "--vmaf", "95"]
    process = subprocess.Popen(
        [sys.executable, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    _wait_for_ffmpeg(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    told = [line for line in without_progress(said) if not line.startswith(("Running", "Predict"))]
    assert told == ["python3 LAT.py encode: interrupted"]
    assert {folder, models} == {*tmp_path.iterdir()}


def _wait_for_ffmpeg(number: int) -> None:
    """Wait until a process has started ffmpeg."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process(number).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name().startswith("ffmpeg"):
                    return
        time.sleep(0.05)
    raise AssertionError("ffmpeg was not started")


def test_mistakes_are_told_before_any_work(encode, inputs, tmp_path):
    a, b, out = inputs / "a.mp4", inputs / "trip" / "b.avi", tmp_path / "out"
    one_line(encode(inputs, inputs / "trip"), 1, "inside the folder of the inputs")
    one_line(encode(a, b, tmp_path / "out.mp4"), 1, "out.mp4", "is the name of a file")
    one_line(encode(inputs / "notes.txt", tmp_path / "out.mp4"), 1, "notes.txt: is neither")
    (tmp_path / "out.jpg").write_bytes(b"precious")
    one_line(encode(inputs / "photo.png", tmp_path / "out.jpg"), 1, "out.jpg", "--overwrite")
    other = tmp_path / "other.jpg"
    one_line(encode(inputs / "photo.png", other, "--format", "webp"), 2, "--format", "OUTPUT")
    one_line(encode(a, b, a), 1, a, "is a file")
    one_line(encode(a, b, inputs, "--overwrite"), 1, a, "is an input")
    (inputs / "trip" / "b.mkv").write_bytes(b.read_bytes())
    (inputs / "notes.txt").unlink()
    one_line(encode(inputs, out), 1, "b.avi", "b.mkv", "would both become")
    (inputs / "trip" / "b.mkv").unlink()
    (inputs / "photo.mkv").mkdir()
    (inputs / "photo.mkv" / "c.mp4").write_bytes(a.read_bytes())
    (inputs / "photo.avi").write_bytes(b.read_bytes())
    one_line(encode(inputs, out), 1, "photo.avi", "also the folder of", "c.mp4")
    (inputs / "photo.avi").unlink()
    (inputs / "photo.mkv" / "c.mp4").unlink()
    (inputs / "photo.mkv").rmdir()
    one_line(encode(a, b, out, "--format", "webp"), 2, "--format", "pictures")
    one_line(encode(inputs / "photo.png", inputs / "photo.png", out, "--aq"), 2, "--aq", "videos")
    done = encode(tmp_path / "none", tmp_path / "nor", out)
    assert done.returncode == 1 and "none of the 2 inputs can be read" in done.stderr
    assert not out.exists() and len(files(inputs)) == 4
