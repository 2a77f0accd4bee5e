"""`python -m common.prepare` once more into the same folder, and ended by a signal."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from common.commands.main import main
from common.data.manifest import read_manifest
from tests.processes import REPO
from tests.synthetic import fake_ffmpeg, hashes, picture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        Image.fromarray(picture(number, 96, 160)).save(folder / f"{number}.png")
    return folder


def photos(pictures, root, *more):
    small = ("--keep_size", "--split", "60/20/20")
    return ("-m", "common.prepare", "photos", "--images", pictures, "--out", root, *small, *more)


@pytest.fixture(scope="module")
def finished(command, pictures, tmp_path_factory):
    root = tmp_path_factory.mktemp("finished") / "root"
    assert command(*photos(pictures, root)).returncode == 0
    return root


@pytest.fixture
def root(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "root")


@pytest.fixture
def again(pictures, root, capsys):
    """Run it again, in this process, which knows ffmpeg's version by now: exit code and stderr."""

    def run():
        try:
            code = main("prepare", list(map(str, photos(pictures, root)[2:])))
        except SystemExit as ended:
            code = ended.code
        return code, capsys.readouterr().err

    return run


def test_files_of_the_users_own_stay(command, pictures, root):
    for name in (".gitignore", ".notes", "train/.keep", "mystuff/.hidden", ".prepare/.mine"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("mine")
    (root / "mystuff" / "mine.png").write_text("no frame")
    (root / "train" / "notes.txt").write_text("no image")
    before = hashes(root)
    assert command(*photos(pictures, root)).returncode == 0
    assert hashes(root) == before


@pytest.mark.parametrize("name", ["train/mine.png", "train/sub/mine.jpg", "jnd2valid/mine.png"])
def test_an_image_among_the_frames_is_named_and_stays(again, root, name):
    """It would shift which levels belong to which image."""
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("mine")
    before = hashes(root)
    code, said = again()
    assert (code, said.count("\n")) == (1, 1)
    assert f"{root / name}: not made by common.prepare; move it elsewhere" in said
    assert hashes(root) == before


@pytest.mark.parametrize("prefix", ["", "jnd2"])
def test_a_frame_deleted_by_hand_is_made_again(again, root, prefix):
    before = hashes(root)
    (root / f"{prefix}{read_manifest(root)[0]['file']}").unlink()
    assert again() == (0, "")
    assert hashes(root) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda row: "{half a rec",
        lambda row: "[1, 2]",
        lambda row: json.dumps({**row, "jnd1": "x"}),
        lambda row: json.dumps({**row, "jnd1": None}),
        lambda row: json.dumps({**row, "jnd1": "92"}),
        lambda row: json.dumps({**row, "split": "trbin"}),
        lambda row: json.dumps({**row, "unheard": "of"}),
        lambda row: json.dumps({key: value for key, value in row.items() if key != "codec"}),
        lambda row: json.dumps({**row, "statistics": row["statistics"] * 7}),  # as once measured
    ],
)
def test_a_damaged_record_is_made_again(again, root, damage):
    before = hashes(root)
    record = next((root / ".prepare" / "frames").glob("*.json"))
    record.write_text(damage(json.loads(record.read_text())))
    assert again() == (0, "")
    assert hashes(root) == before


@pytest.mark.parametrize("damage", [b"{half", b"\xff\xfe", b"[1, 2]", b"3"])
def test_damaged_options_are_refused(again, root, damage):
    (root / ".prepare" / "options.json").write_bytes(damage)
    before = hashes(root)
    code, said = again()
    assert (code, said.count("\n")) == (1, 1)
    assert "options.json: damaged; give a new --out" in said
    assert hashes(root) == before


def interrupted(arguments, asked, when, env=None):
    """Exit code and stderr of a command that gets a signal twice, as soon as `when()` is true."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPO,
        env={**os.environ, **(env or {})},
    )
    while not when() and process.poll() is None:
        time.sleep(0.01)
    for _ in range(2):
        process.send_signal(asked)
        time.sleep(0.05)
    _, said = process.communicate(timeout=30)  # not the minute that ffmpeg takes
    return process.returncode, said


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_leaves_nothing_half_made(command, pictures, finished, tmp_path, asked):
    root = tmp_path / "root"
    ended = interrupted(photos(pictures, root), asked, lambda: any(root.glob("jnd1*/*")))
    assert ended == (
        128 + asked,
        "python3 -m common.prepare photos: interrupted; run the same command again to continue\n",
    )
    assert not list(root.rglob("*.partial-*"))
    assert command(*photos(pictures, root)).returncode == 0
    assert hashes(root) == hashes(finished)


def test_asked_to_end_it_does_not_wait_for_ffmpeg(tmp_path):
    """One that is at work for a minute on a long video."""
    slow = fake_ffmpeg(tmp_path, " libx264 ", " libvmaf ")
    asleep = f"*) touch {tmp_path}/on; exec sleep 60; echo"
    slow.write_text(slow.read_text().replace("*) echo", asleep))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "long.mp4").touch()
    ended = interrupted(
        photos(tmp_path / "videos", tmp_path / "root"),
        signal.SIGTERM,
        (tmp_path / "on").exists,
        {"IMAGEIO_FFMPEG_EXE": str(slow)},
    )
    assert ended == (
        143,
        "python3 -m common.prepare photos: interrupted; run the same command again to continue\n",
    )
