"""`python -m common.prepare photos`, as a user runs it, on small pictures; and wrong usage."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from common.data.frames import resize
from common.data.manifest import read_labels, read_manifest
from common.data.split import read_split
from common.data.statistics import measure_statistics, read_statistics
from common.datasets.crops import choose_boxes
from tests.synthetic import (
    SCALE,
    fake_ffmpeg,
    ffmpeg,
    frame_of,
    hashes,
    moving,
    picture,
    pixels,
    write_clip,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Four small pictures, two of them the same, and a clip of two seconds."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "sub").mkdir()
    for number in range(3):
        Image.fromarray(picture(10 + number, 120, 200)).save(folder / f"img{number + 8}.png")
    Image.open(folder / "img8.png").resize((160, 96)).save(folder / "sub" / "again.png")
    write_clip(folder / "clip.mp4", moving(20, 10, 96, 160), 10)
    return folder


SMALL = ("--keep_size", "--crops", "2", "--split", "60/20/20")


def photos(pictures, out, *more):
    return ("-m", "common.prepare", "photos", "--images", pictures, "--out", out, *more)


@pytest.fixture(scope="module")
def prepared(command, pictures, tmp_path_factory):
    """What an undisturbed run makes of the pictures."""
    root = tmp_path_factory.mktemp("prepared") / "root"
    done = command(*photos(pictures, root, *SMALL))
    return root, done


def test_photos(command, prepared):
    root, done = prepared
    assert done.returncode == 0, done.stderr
    assert "12 frames" in done.stdout
    assert "proxy labels (VMAF below 94.5, 91.25, 87), not viewers' judgements" in done.stdout
    assert "img8.png and sub/again.png show the same picture: kept in one split" in done.stderr
    rows = read_manifest(root)
    assert len(rows) == 12
    homes = {row["content"]: row["split"] for row in rows}
    assert len(homes) == 5
    assert {row["split"] for row in rows} == {"train", "valid", "test"}
    assert all(homes[row["content"]] == row["split"] for row in rows)
    assert homes["img8.png"] == homes["sub/again.png"]
    clip = [row for row in rows if row["content"] == "clip.mp4"]
    assert [row["frame"] for row in clip] == ["0", "0", "5", "5"]
    for row in rows:
        assert row["level_kind"] == "proxy"
        assert row["metric"].startswith("libvmaf")
        assert row["thresholds"] == "94.5/91.25/87"
        assert row["levels_from"] == f"lowest QPs below; VMAF there {row['scores']}"
        assert all(float(a) < b for a, b in zip(row["scores"].split("/"), (94.5, 91.25, 87)))
    about = read_labels(root)
    assert (about.is_proxy, about.codec) == (True, "H.264 QP")
    checked = command("-m", "common.prepare", "check", root)
    assert checked.returncode == 0
    assert "proxy labels (VMAF" in checked.stdout
    with Image.open(root / "contact_sheet.png") as sheet:
        assert sheet.width == 1960


def test_frames_of_a_whole_picture_have_its_level(command, tmp_path):
    """A picture of 200x120 is labelled at 96 and 160 pixels, once for its two views; the level is
    where VMAF, measured by ffmpeg alone, crosses the threshold between two QPs.
    """
    (tmp_path / "pictures").mkdir()
    large = picture(10, 120, 200)
    Image.fromarray(large).save(tmp_path / "pictures" / "a.png")
    root = tmp_path / "root"
    sizes = ("--labels_of", "whole", "--widths", "96,160,640", "--crops", "2", "--vary", "1")
    done = command(*photos(tmp_path / "pictures", root, *sizes, "--split", "100/0/0"))
    assert done.returncode == 0, done.stderr
    rows = {row["file"].split("_")[-1].removesuffix(".png"): row for row in read_manifest(root)}
    assert sorted(rows) == ["000", "000v1", "001", "002", "002v1", "003"]
    columns = ("jnd1", "jnd2", "jnd3", "label_size")
    for first, other in (("000", "001"), ("002", "003")):
        assert [rows[first][name] for name in columns] == [rows[other][name] for name in columns]
    assert [rows[name]["label_size"] for name in ("000", "002")] == ["96x58", "160x96"]
    assert [rows[name]["crop"] for name in ("000", "000v1")] == ["0,0,200,120"] * 2
    assert [int(side) for side in rows["003"]["crop"].split(",")] == pytest.approx(
        [0, 5, 200, 110], abs=1
    )
    assert rows["002v1"]["variation"] and not rows["002"]["variation"]
    small = np.asarray(Image.fromarray(large).resize((160, 96), Image.Resampling.LANCZOS))
    assert np.array_equal(pixels(root / rows["002"]["file"]), resize(small))
    for order, threshold in ((1, 94.5), (2, 91.25), (3, 87.0)):
        level = float(rows["002"][f"jnd{order}"])
        assert level != int(level)
        scores = measure_by_ffmpeg(small, (int(level), int(level) + 1), tmp_path)
        losses = [np.log(100 - score) for score in scores]
        assert losses[0] <= np.log(100 - threshold) < losses[1]
        part = (np.log(100 - threshold) - losses[0]) / (losses[1] - losses[0])
        assert level == pytest.approx(int(level) + part, abs=0.02)
        assert rows["002"][f"coded{order}"] == str(round(level))
    found = read_statistics(read_split(root, "train"))
    expected = measure_statistics(small)
    assert np.allclose(found[[*rows].index("002")], expected, atol=1e-4)
    assert np.array_equal(found[[*rows].index("002")], found[[*rows].index("003")])


def measure_by_ffmpeg(frame, qps, folder):
    """Encode a frame at each QP, and measure its VMAF, by ffmpeg alone."""
    size = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{frame.shape[1]}x{frame.shape[0]}")
    yuv = f"scale=out_color_matrix=bt601:out_range=tv:{SCALE},format=yuv420p"
    source, coded, log = (folder / name for name in ("source.y4m", "coded.264", "log.json"))
    ffmpeg("-y", *size, "-i", "-", "-vf", yuv, source, data=frame.tobytes())
    scores = []
    for qp in qps:
        ffmpeg("-y", "-i", source, "-c:v", "libx264", "-qp", qp, "-threads", 1, coded)
        measure = f"libvmaf=log_fmt=json:log_path={log}"
        ffmpeg("-i", coded, "-i", source, "-lavfi", measure, "-f", "null", "-")
        scores.append(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])
    return scores


def test_photos_levels_are_where_vmaf_falls_below(prepared):
    """By a stream made and measured by ffmpeg alone, at each level and one QP before."""
    root, _ = prepared
    row = read_manifest(root)[0]
    frame = pixels(root / row["file"])
    for order, threshold in ((1, 94.5), (2, 91.25), (3, 87.0)):
        level = int(row[f"jnd{order}"])
        scores = measure_by_ffmpeg(frame, (level - 1, level), root.parent)
        assert scores[0] >= threshold > scores[1]
        decoded = frame_of(root.parent / "coded.264", 0, frame.shape[1], frame.shape[0])
        assert np.array_equal(pixels(root / f"jnd{order}{row['file']}"), decoded)


def test_levels_stand_in_the_order_of_the_images(prepared):
    root, _ = prepared
    rows = {row["file"]: row for row in read_manifest(root)}
    for split in ("train", "valid", "test"):
        names = sorted(path.name for path in (root / split).glob("*.png"))
        lines = (root / split / "JND-Levels.txt").read_text().splitlines()
        expected = [
            " ".join(rows[f"{split}/{name}"][f"jnd{order}"] for order in (1, 2, 3))
            for name in names
        ]
        assert lines == expected
        for order in (1, 2, 3):
            found = sorted(path.name for path in (root / f"jnd{order}{split}").glob("*.png"))
            assert found == names


def test_crops_differ_and_are_the_models_shape(prepared):
    root, _ = prepared
    crops = {}
    for row in read_manifest(root):
        left, top, width, height = map(int, row["crop"].split(","))
        assert pixels(root / row["file"]).shape == (height, width, 3)
        assert width / height == pytest.approx(640 / 352, rel=0.03)
        crops.setdefault(row["content"] + row["frame"], []).append((left, top, width, height))
    assert crops["img9.png"][0] == (0, 5, 200, 110)
    for first, second in crops.values():
        assert first != second
        assert 0.74 * first[2] <= second[2] <= first[2]


def test_crops_may_be_narrow():
    """Of any width from the largest to the least, on a scale of ratios."""
    first, *others = choose_boxes(768, 512, 500, "any", least_width=192)
    assert first == (0, 45, 768, 422)
    widths = [width for _, _, width, _ in others]
    assert 192 <= min(widths) < 196
    assert 750 < max(widths) <= 768
    assert np.median(widths) == pytest.approx(384, rel=0.06)  # half way, as ratios
    assert all(x >= 0 and y >= 0 and x + w <= 768 and y + h <= 512 for x, y, w, h in others)


def test_photos_at_the_models_size(command, pictures, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    Image.fromarray(picture(31, 600, 900)).save(folder / "large.png")
    root = tmp_path / "root"
    assert (
        command(*photos(folder, root, "--vmaf", "95,90,80", "--split", "0/0/100")).returncode == 0
    )
    box = (0, 52, 900, 52 + 495)
    expected = (
        Image.open(folder / "large.png").crop(box).resize((640, 352), Image.Resampling.LANCZOS)
    )
    row = read_manifest(root)[0]
    assert row["crop"] == "0,52,900,495"
    assert np.array_equal(pixels(root / row["file"]), np.asarray(expected))
    assert row["thresholds"] == "95/90/80"


def test_killed_and_run_again_it_gives_the_same(command, prepared, pictures, tmp_path):
    root, _ = prepared
    again = tmp_path / "root"
    arguments = [sys.executable, *map(str, photos(pictures, again, *SMALL))]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = again / ".prepare" / "frames"
    moment = random.Random(0)
    stop_after = moment.randrange(12)
    while process.poll() is None and len(list(done.glob("*.json"))) < stop_after:
        time.sleep(0.01)
    time.sleep(moment.random() * 0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # As a kill in the middle of a write leaves it.
    (again / "train").mkdir(parents=True, exist_ok=True)
    done.mkdir(parents=True, exist_ok=True)
    last = max(read_manifest(root), key=lambda row: row["file"])
    (again / last["split"]).mkdir(exist_ok=True)
    (again / last["file"]).write_bytes(b"a picture without a record")
    for folder, file in ((again / "train", "0001_clip.png"), (done, "0001_clip.json")):
        (folder / ".laser-jnd-abcdefgh").mkdir()
        (folder / ".laser-jnd-abcdefgh" / ".laser-jnd-98eedb2a.lock").touch()
        (folder / ".laser-jnd-abcdefgh" / file).write_bytes(b"{half a file")
    before = {path: path.stat().st_mtime_ns for path in done.glob("[!.]*.json")}
    assert command(*photos(pictures, again, *SMALL)).returncode == 0
    assert hashes(again) == hashes(root)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def test_a_finished_folder_stays_as_it_is(command, prepared, pictures):
    root, _ = prepared
    before = hashes(root)
    assert command(*photos(pictures, root, *SMALL)).returncode == 0
    assert hashes(root) == before


def test_other_options_into_the_same_folder(command, prepared, pictures):
    root, _ = prepared
    before = hashes(root)
    done = command(*photos(pictures, root, *SMALL[:-1], "40/30/30"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "other settings (split was [60.0, 20.0, 20.0], is [40.0, 30.0, 30.0])" in done.stderr
    assert hashes(root) == before


def test_a_folder_made_among_the_pictures_is_no_picture(command, pictures, tmp_path):
    shutil.copy(pictures / "img8.png", tmp_path)
    arguments = photos(tmp_path, tmp_path / "data", "--keep_size", "--split", "0/0/100")
    for _ in range(2):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        assert [row["content"] for row in read_manifest(tmp_path / "data")] == ["img8.png"]


def test_a_folder_of_something_else_is_left_alone(command, pictures, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    done = command(*photos(pictures, tmp_path))
    assert done.returncode == 1
    assert "exists and was not made by common.prepare" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_bad_pictures_are_told_and_left_out(command, pictures, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(pictures / "img8.png", folder)
    (folder / "cut.png").write_bytes((pictures / "img9.png").read_bytes()[:5000])
    (folder / "words.mp4").write_text("no video")
    Image.new("RGB", (200, 120), "grey").save(folder / "flat.png")
    root = tmp_path / "root"
    done = command(*photos(folder, root, "--keep_size", "--split", "0/0/100"))
    assert done.returncode == 0
    assert "1 frames (train 0, valid 0, test 1)" in done.stdout
    notes = done.stderr.splitlines()
    assert len(notes) == 3
    for told in (
        "cut.png: cannot be read as an image",
        "words.mp4: cannot be read as a video",
        "flat.png, 0002_flat_000: VMAF stays at 97.",
    ):
        assert any(told in note for note in notes)
    assert len(list(root.rglob("*.png"))) == 5
    assert command("-m", "common.prepare", "check", root).returncode == 0


@pytest.mark.parametrize(
    ("images", "told"), [("absent", "no such folder"), ("empty", "no pictures or videos in it")]
)
def test_no_pictures(command, tmp_path, images, told):
    (tmp_path / "empty").mkdir()
    done = command(*photos(tmp_path / images, tmp_path / "root"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert told in done.stderr
    assert not (tmp_path / "root").exists()


def test_contents_named_for_test(command, pictures, tmp_path):
    (tmp_path / "names.txt").write_text("img8.png\nimg10.png\n")
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("img8.png", "img9.png", "img10.png"):
        shutil.copy(pictures / name, folder)
    shutil.copy(pictures / "sub" / "again.png", folder)
    root = tmp_path / "root"
    more = ("--keep_size", "--test_contents", tmp_path / "names.txt")
    assert command(*photos(folder, root, *more)).returncode == 0
    homes = {row["content"]: row["split"] for row in read_manifest(root)}
    tested = {content for content, split in homes.items() if split == "test"}
    assert tested == {"img8.png", "img10.png", "again.png"}


def test_an_ffmpeg_without_vmaf(command, pictures, tmp_path):
    fake = fake_ffmpeg(tmp_path, encoders=" V....D libx264 H.264")
    named = {"IMAGEIO_FFMPEG_EXE": str(fake)}
    done = command(*photos(pictures, tmp_path / "root"), env=named)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "without libvmaf, which measuring VMAF needs" in done.stderr
    assert not (tmp_path / "root").exists()


def test_a_full_disk(command, pictures, small_disk):
    disk = small_disk("512k")
    done = command(*photos(pictures, disk / "root", *SMALL))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr
    # What is there is whole: each image with a record can be opened, with its JND frames.
    for record in (disk / "root" / ".prepare" / "frames").glob("[!.]*.json"):
        row = json.loads(record.read_text())
        for prefix in ("", "jnd1", "jnd2", "jnd3"):
            pixels(disk / "root" / f"{prefix}{row['file']}")
    assert not list((disk / "root").rglob(".[!p]*"))


# The command line


def test_help_is_quick_and_teaches(command, standard_library):
    before = os.times()
    done = command("-m", "common.prepare", "photos", "--help", env=standard_library)
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    assert done.returncode == 0
    assert used < 0.5
    assert (
        "python3 -m common.prepare photos --images pictures/ --crops 3 --out data/" in done.stdout
    )
    defaults = "(default: 94.5,91.25,87; for jpeg: 88.5,84.5,81)"
    assert defaults in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("photos", "--images", "a", "--out", "b", "--vmaf", "80,90,95"),
        ("photos", "--images", "a", "--out", "b", "--split", "80/10"),
        ("photos", "--images", "a", "--out", "b", "--split", "80/30/10"),
        ("photos", "--images", "a", "--out", "b", "--crops", "0"),
        ("videoset", "--videos", "a", "--labels", "b", "--size", "360p", "--out", "c"),
        ("photos", "--images", "a"),
        (),
    ],
)
def test_wrong_usage_exits_2(command, arguments):
    done = command("-m", "common.prepare", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
