"""Mistakes with `python -m common.prepare`: one line each; and names in any bytes and locale."""

import os
import re

import openpyxl
import pytest
from PIL import Image

from common.data.manifest import read_manifest
from tests.processes import PROGRESS, REPO, one_line
from tests.synthetic import hashes, moving, picture, write_clip

PHOTOS = ("photos", "--images", "pictures", "--out", "new")
VIDEOSET = ("videoset", "--videos", "clips", "--labels", "labels", "--out", "new")
MCL_JCI = ("mcl-jci", "--images", "pictures", "--out", "new")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to be wrong in: pictures, clips, labels, and much that is not what it should be."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("pictures", "clips", "labels", "latin", "empty", "hidden/.prepare", "phone"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(picture(1, 96, 160)).save(folder / "pictures" / "ImageJND_SRC01.png")
    write_clip(folder / "clips" / "videoSRC001_96x64_5_qp_00.264", moving(1, 3, 64, 96), 0)
    (folder / "clips" / "videoSRC002_96x48_0_qp_00.264").touch()
    for order in ("1st", "2nd", "3rd"):
        text = 'sequence_index,samples\n1,"[20, 21]"\n'
        (folder / "labels" / f"videoset_96x64_{order}.csv").write_text(text)
        (folder / "latin" / f"videoset_96x64_{order}.csv").write_bytes(b"\xe9" + text.encode())
    (folder / "file").write_text("a file")
    (folder / "bytes").write_bytes(b"\xff\xfe\x00")
    (folder / "phone" / "a.heic").touch()
    book = openpyxl.Workbook()
    book.active.append(["one", "[" * 5000])
    book.save(folder / "odd.xlsx")
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((*PHOTOS, "--split", "nan/50/50"), 2, "'nan/50/50' is not three percentages"),
        ((*PHOTOS, "--split", "inf/-inf/100"), 2, "is not three percentages"),
        ((*PHOTOS, "--vmaf", "nan,90,80"), 2, "is not three falling values"),
        ((*PHOTOS, "--widths", "640,16"), 2, "has a width below 32 pixels"),
        ((*PHOTOS, "--seed", "-1"), 2, "-1 is less than 0"),
        ((*PHOTOS, "--seed", str(2**40)), 2, "is above 4294967295"),
        ((*PHOTOS, "--out", "file"), 1, "file: exists and was not made by common.prepare"),
        ((*PHOTOS, "--out", "file/new"), 1, "file/new/.prepare: cannot be made as a folder"),
        ((*PHOTOS, "--test_contents", "empty"), 1, "empty: is a directory; it should hold names"),
        ((*PHOTOS, "--test_contents", "bytes"), 1, "bytes: not a text file in UTF-8"),
        ((*PHOTOS, "--test_contents", "none"), 1, "none: no such file or directory"),
        ((*PHOTOS, "--test_contents", "file"), 1, "no content is named a file"),
        ((*PHOTOS, "--images", "file"), 1, "file: no such folder"),
        ((*PHOTOS, "--images", "phone"), 1, "(.heic); convert pictures of other kinds to PNG"),
        ((*PHOTOS, "--images", "hidden"), 1, "hidden: no pictures or videos in it"),
        ((*VIDEOSET, "--size", "96x48"), 1, "clips: no streams of 96x48"),
        ((*VIDEOSET, "--size", "96x64", "--labels", "file"), 1, "file: no such folder"),
        ((*VIDEOSET, "--size", "96x64", "--labels", "latin"), 1, "1st.csv: not a text file in UTF"),
        ((*VIDEOSET, "--size", "96x64", "--videos", "empty"), 1, "no VideoSet streams in it"),
        ((*VIDEOSET, "--size", "96x64", "--frames", "9" * 30), 1, "has 3 frames; frame 999"),
        ((*MCL_JCI, "--samples", "empty"), 1, "empty: cannot be read as an Excel workbook"),
        ((*MCL_JCI, "--samples", "file"), 1, "file: cannot be read as an Excel workbook"),
        ((*MCL_JCI, "--samples", "odd.xlsx"), 1, "odd.xlsx, row 1: needs an image number"),
        (("check", "file"), 1, "file: no such folder"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line(command, place, arguments, code, told):
    before = hashes(place)
    done = command("-m", "common.prepare", *arguments, cwd=place, env={"PYTHONPATH": str(REPO)})
    one_line(done, code, told)
    assert hashes(place) == before


@pytest.mark.parametrize(
    "text", [b"25 30 35 40\n", b"25,5 30,5 35,5\n", b"95 97 99\n", b"\xff\n", None]
)
def test_check_names_levels_that_are_none(command, tmp_path, text):
    (tmp_path / "test").mkdir()
    Image.new("RGB", (32, 24)).save(tmp_path / "test" / "a.png")
    path = tmp_path / "test" / "JND-Levels.txt"
    path.mkdir() if text is None else path.write_bytes(text)
    done = command("-m", "common.prepare", "check", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith(f"error: {path}")
    assert "no line for the image" not in done.stderr


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_names_in_any_bytes_and_any_locale(command, tmp_path):
    """Latin-1 and UTF-8 names give the same folder where the locale is UTF-8 and where ASCII."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed, name in enumerate((b"caf\xe9.png", "Ünï.png".encode())):
        Image.fromarray(picture(seed, 64, 96)).save(tmp_path / "a.png")
        os.replace(tmp_path / "a.png", os.fsencode(folder) + b"/" + name)
    write_clip(tmp_path / "a.mp4", moving(5, 3, 64, 96), 10)
    os.replace(tmp_path / "a.mp4", os.fsencode(folder) + b"/cl\xefp.mp4")
    made = []
    for number, locale in enumerate(({}, ASCII)):
        root = tmp_path / str(number)
        more = ("--keep_size", "--split", "0/0/100", "--crops", "2")
        arguments = ("photos", "--images", folder, "--out", root, *more)
        done = command("-m", "common.prepare", *arguments, env=locale)
        assert done.returncode == 0
        assert re.fullmatch(PROGRESS, done.stderr)
        assert command("-m", "common.prepare", "check", root, env=locale).returncode == 0
        made.append(hashes(root))
    assert made[0] == made[1]
    contents = {row["content"] for row in read_manifest(root)}
    assert contents == {r"caf\xe9.png", "Ünï.png", r"cl\xefp.mp4"}
