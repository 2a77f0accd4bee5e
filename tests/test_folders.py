"""What is taken of a folder, and what is said of the rest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from common.base.errors import UserError
from common.data.kinds import PICTURE, VIDEO
from common.data.listing import describe_others, find_inputs, list_images
from common.data.pictures import TRANSPARENT
from common.data.split import read_jnd_frames, read_split
from common.datasets.checking import check
from common.inference.compression_files import pair_pictures
from common.video.ffmpeg import binary
from tests.processes import REPO
from tests.synthetic import picture

RGB = picture(1, 48, 64)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Pictures and videos under names of all kinds, and what is neither."""
    image = Image.fromarray(RGB)
    for name, format_ in {
        "1.png": "JPEG", "2.jfif": "JPEG", "3.JPE": "JPEG", "4": "PNG", "5.avif": "AVIF",
        "6.gif": "GIF", "7.ppm": "PPM",
    }.items():  # fmt: skip
        image.save(tmp_path / name, format_)
    image.save(tmp_path / "8.gif", save_all=True, append_images=[Image.fromarray(RGB // 2)])
    made = ["-f", "lavfi", "-i", "testsrc2=s=96x64:d=0.4", "-c:v", "libx264", "-f", "mpegts"]
    subprocess.run([binary("libx264"), "-loglevel", "error", *made, tmp_path / "9.MTS"], check=True)
    for name in ("a.txt", "b.db", "c.DB", "d.svg", "e"):
        (tmp_path / name).write_text("neither")
    return tmp_path


def test_pictures_and_videos_are_taken_by_what_they_are(folder, caplog):
    taken = ["1.png", "2.jfif", "3.JPE", "4", "5.avif", "6.gif", "7.ppm"]
    assert [path.name for path in list_images(folder)] == taken
    found = find_inputs([folder, folder], {PICTURE, VIDEO}, "pictures or videos").files
    assert [path.name for path, _ in found] == [*taken, "8.gif", "9.MTS"]
    rest = "5 files that are neither pictures nor videos (.db, .txt, .svg, no suffix)"
    assert caplog.messages[-1] == f"left out: {rest}"
    work = pair_pictures([folder], folder / "out", overwrite=False)
    assert [path.name for path, _ in work.pairs] == taken
    rest = "7 files that are not pictures (.db, .gif, .mts, .txt, .svg, no suffix)"
    assert caplog.messages[-1] == f"left out: {rest}"


def test_a_link_to_a_folder_is_reported_and_not_followed(folder, caplog):
    (folder / "around").symlink_to(folder)
    found = find_inputs([folder], {PICTURE, VIDEO}, "pictures or videos").files
    assert len(found) == 9
    rest = "(.db, .txt, link to a folder, .svg, no suffix)"
    assert caplog.messages[-1] == f"left out: 6 files that are neither pictures nor videos {rest}"


def test_an_unreadable_subfolder_costs_only_its_own_files(folder):
    """Root may read everything, so the program runs without that right."""
    for name, mode in {"sub": 0, "names": 0o444}.items():
        (folder / name).mkdir()
        Image.fromarray(RGB).save(folder / name / "b.png")
        (folder / name).chmod(mode)
    (folder / "1.png").chmod(0)
    code = (
        "import pathlib, sys; from common.data import listing, pictures; "
        "from common.base.errors import as_result; folder = pathlib.Path(sys.argv[1]); "
        "found = listing.find_inputs([folder], {'picture'}, 'pictures'); "
        "print(len(found.files), *(error for _, error in found.errors), sep='\\n'); "
        "print(as_result(pictures.read_picture, folder / '1.png'))"
    )
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    words = [*(unprivileged if os.geteuid() == 0 else []), sys.executable, "-c", code, folder]
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=True)
    refused = "permission denied; make it readable, or move it away"
    assert done.stdout.splitlines() == [
        "7",
        f"{folder / 'names'}: {refused}",
        f"{folder / 'sub'}: {refused}",
        f"{folder / '1.png'}: cannot be read as an image (Permission denied)",
    ]
    for name in ("sub", "names"):
        (folder / name).chmod(0o700)


def test_nothing_is_said_where_nothing_is_left_out(folder, caplog):
    for name in ("a.txt", "b.db", "c.DB", "d.svg", "e"):
        (folder / name).unlink()
    assert len(find_inputs([folder], {PICTURE, VIDEO}, "pictures or videos").files) == 9
    assert caplog.messages == []
    assert describe_others([Path("a.db")], {PICTURE}) == "1 file that is not a picture (.db)"


def test_a_dataset_says_what_is_not_paired(tmp_path, caplog):
    for split in ("train", "jnd1train"):
        (tmp_path / split).mkdir()
        for number in range(2):
            rgb = RGB if split == "train" else RGB // 2 + 9
            Image.fromarray(rgb + np.uint8(number)).save(tmp_path / split / f"{number}.png")
    levels = tmp_path / "train" / "JND-Levels.txt"
    levels.write_text("25 30 35\n26 31 36\n")
    images = read_split(tmp_path, "train", levels_needed=True).images
    assert caplog.messages == []
    (tmp_path / "train" / "2.xcf").write_bytes(b"another")
    read_split(tmp_path, "train", levels_needed=True)
    rest = "left out: 1 file that is not a picture (.xcf)"
    assert caplog.messages == [f"{tmp_path / 'train'}: {rest}"]
    assert f"train: {rest}" in check(tmp_path).there
    levels.write_text("25 30 35\n26 31 36\n27 32 37\n")
    message = "JND-Levels.txt: 3 lines of levels for 2 images in .*train; left out: 1 file"
    with pytest.raises(UserError, match=message):
        read_split(tmp_path, "train", levels_needed=True)
    (tmp_path / "jnd1train" / "1.png").rename(tmp_path / "jnd1train" / "1.txt")
    (tmp_path / "jnd1train" / "1.txt").write_text("no picture any more")
    message = r"1 JND frames for 2 images in .*; left out: 1 file that is not a picture \(\.txt\)"
    with pytest.raises(UserError, match=message):
        read_jnd_frames(tmp_path, "train", "JND1", images)


def test_predict_tells_what_may_surprise(in_process, weights, tmp_path):
    alpha = np.full((48, 64, 1), 9, np.uint8)
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(tmp_path / "a.png")
    Image.fromarray(RGB).save(tmp_path / "b.png")
    (tmp_path / "c.txt").write_text("neither")
    given = ("--jnd_value", "JND1", "--model_weights_path", weights, "--json")
    done = in_process("LAT.py", "predict", tmp_path, *given)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads((REPO / "docs/prediction.schema.json").read_text()))
    first, second = document["inputs"]
    assert first["notes"] == [TRANSPARENT] and "notes" not in second
    assert first["levels"] == second["levels"]
    assert f"{tmp_path / 'a.png'}: {TRANSPARENT}" in done.stderr.splitlines()
    assert "left out: 1 file that is neither a picture nor a video (.txt)" in done.stderr
    done = in_process("LAT.py", "predict", tmp_path / "c.txt", *given)
    assert done.returncode == 1 and "c.txt: neither a picture nor a video" in done.stderr


def test_pipes_are_counted_and_links_to_nothing_are_named(tmp_path, caplog):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "p.png")
    (tmp_path / "d.png").symlink_to("nowhere")
    (tmp_path / "d.txt").symlink_to("nowhere")
    found = find_inputs([tmp_path], {PICTURE, VIDEO}, "pictures or videos")
    assert [path.name for path, _ in found.files] == ["a.png"]
    assert [path.name for path, _ in found.errors] == ["d.png"]
    assert "d.png: a link to a file that is not there" in caplog.text
    assert "left out: 2 files" in caplog.text
