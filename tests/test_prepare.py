"""`python -m common.prepare`, run as a user would, on small datasets made here."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import openpyxl
import pytest
from PIL import Image
from synthetic import ffmpeg, moving, picture, write_clip
from test_video import fake_ffmpeg

from common.data.frames import list_images, resized
from common.data.layout import read_split
from common.data.manifest import provenance, read_manifest
from common.data.photos import boxes

SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


def frame_of(stream, number, width, height):
    """A frame of a stream as ffmpeg, run on its own, decodes it."""
    chain = f"select=eq(n\\,{number}),scale={SCALE},format=rgb24"
    pixels = ffmpeg("-i", stream, "-vf", chain, "-frames:v", 1, "-f", "rawvideo", "-")
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def hashes(root):
    """What lies in a folder, hidden files too: hash by name."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def levels_of(root, split):
    images, levels = read_split(root, split)
    return {image.stem: row.tolist() for image, row in zip(images, levels)}


def pixels(path):
    return np.asarray(Image.open(path))


# VideoSet


def write_labels(folder, rows):
    """Label files in VideoSet's form: rows of clip and three lists of samples."""
    folder.mkdir(exist_ok=True)
    for index, order in enumerate(("1st", "2nd", "3rd")):
        with (folder / f"videoset_96x64_{order}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["anchor", "jnd", "samples", "samples_no", "sequence_index"])
            for clip, *samples in rows:
                writer.writerow([0, 0, samples[index], len(samples[index]), clip])


@pytest.fixture(scope="module")
def videoset(tmp_path_factory):
    """Two clips of 11 frames, 5 a second, 96x64, with streams at some QPs; labels of both."""
    folder = tmp_path_factory.mktemp("videoset")
    for clip, qps in ((1, (0, 20, 28, 35)), (2, (0, 22, 30))):
        for qp in qps:
            name = f"videoSRC{clip:03d}_96x64_5_qp_{qp:02d}.264"
            write_clip(folder / name, moving(clip, 11, 64, 96), qp)
    write_labels(
        folder / "labels",
        [(1, [20] * 9, [28] * 9, [35] * 9), (2, [22] * 9, [30] * 9, [36] * 9)],
    )
    return folder


def prepare_videoset(command, videoset, out, *more, labels=None):
    return command(
        *("-m", "common.prepare", "videoset", "--videos", videoset),
        *("--labels", labels or videoset / "labels", "--size", "96x64", "--out", out, *more),
    )


def test_videoset_frames_are_the_decodes_of_the_streams(command, videoset, tmp_path):
    root = tmp_path / "root"
    done = prepare_videoset(command, videoset, root, "--keep_size", "--split", "0/0/100")
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 frames (train 0, valid 0, test 6)" in done.stdout
    assert "mean levels (H.264 QP): 21.0, 29.0, 35.5; viewers' levels" in done.stdout
    expected = {
        f"videoSRC{clip:03d}_{number:04d}": levels
        for clip, levels in ((1, [20, 28, 35]), (2, [22, 30, 36]))
        for number in (0, 5, 10)
    }
    assert levels_of(root, "test") == expected
    for name, levels in expected.items():
        clip, number = name[:11], int(name[12:])
        for folder, qp in zip(("test", "jnd1test", "jnd2test", "jnd3test"), (0, *levels)):
            stream = videoset / f"{clip}_96x64_5_qp_{int(qp):02d}.264"
            if stream.exists():
                frame = pixels(root / folder / f"{name}.png")
                assert np.array_equal(frame, frame_of(stream, number, 96, 64)), (folder, name)
    about = provenance(root)
    assert (about.objective, about.codec) == (False, "H.264 QP")
    assert command("-m", "common.prepare", "check", root).returncode == 0


def test_videoset_encodes_the_source_where_a_stream_is_missing(command, videoset, tmp_path):
    root = tmp_path / "root"
    assert prepare_videoset(command, videoset, root, "--keep_size").returncode == 0
    row = next(row for row in read_manifest(root) if row["file"].endswith("videoSRC002_0005.png"))
    assert row["jnd2_frame"] == "videoSRC002_96x64_5_qp_30.264"
    assert row["jnd3_frame"] == "source encoded by x264 at QP 36"
    coded = tmp_path / "coded.264"
    source = videoset / "videoSRC002_96x64_5_qp_00.264"
    settings = ("-c:v", "libx264", "-preset", "medium", "-pix_fmt", "yuv420p", "-threads", 1)
    ffmpeg("-framerate", 5, "-i", source, *settings, "-qp", 36, coded)
    frame = pixels(root / f"jnd3{row['file']}")
    assert np.array_equal(frame, frame_of(coded, 5, 96, 64))


def test_videoset_frames_are_resized_as_the_models_see_them(command, videoset, tmp_path):
    root = tmp_path / "root"
    done = prepare_videoset(command, videoset, root, "--frames", "7,3", "--split", "50/50/0")
    assert done.returncode == 0
    names = [path.name for split in ("train", "valid") for path in list_images(root / split)]
    assert sorted(names) == [
        f"videoSRC00{clip}_000{number}.png" for clip in (1, 2) for number in (3, 7)
    ]
    for path in list_images(root / "train"):
        clip, number = path.stem.split("_")
        source = frame_of(videoset / f"{clip}_96x64_5_qp_00.264", int(number), 96, 64)
        assert np.array_equal(pixels(path), resized(source))


def test_videoset_tells_what_does_not_pair_and_goes_on(command, videoset, tmp_path):
    clips = tmp_path / "clips"
    shutil.copytree(videoset, clips)
    (clips / "videoSRC003_96x64_5_qp_00.264").write_text("no video")
    write_clip(clips / "videoSRC004_96x64_5_qp_00.264", moving(4, 6, 64, 96), 0)
    write_clip(clips / "videoSRC005_96x64_5_qp_00.264", moving(5, 11, 64, 96), 0)
    write_clip(clips / "videoSRC006_96x64_5_qp_20.264", moving(6, 11, 64, 96), 20)
    samples = ([20] * 9, [28] * 9, [35] * 9)
    write_labels(clips / "labels", [(clip, *samples) for clip in (1, 3, 4, 6, 8, 9, 10, 12)])
    done = prepare_videoset(command, clips, tmp_path / "root", "--frames", "0,10")
    assert done.returncode == 0
    assert "2 frames" in done.stdout
    told = done.stderr
    assert "note: 4 label rows without a 96x64 clip: 8-10, 12" in told
    assert "note: 2 clips without a label row: 2, 5" in told
    assert "note: 1 clip without a source stream (qp_00): 6" in told
    assert "videoSRC003_96x64_5_qp_00.264: cannot be read as a video" in told
    assert "videoSRC004_96x64_5_qp_00.264: has 6 frames; frame 10 was asked for" in told


def test_videoset_of_an_unknown_size(command, videoset, tmp_path):
    done = command(
        *(
            "-m",
            "common.prepare",
            "videoset",
            "--videos",
            videoset,
            "--labels",
            videoset / "labels",
        ),
        *("--size", "640x360", "--out", tmp_path / "root"),
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no streams of 640x360" in done.stderr
    assert "there are 96x64" in done.stderr
    assert not (tmp_path / "root").exists()


def test_a_lookalike_of_videoset_from_real_clips_and_real_labels(command, shared, tmp_path):
    """Real pictures and the dataset's own rows 1 and 2: levels 25 30 34 and 29 34 36."""
    levels = {1: (25, 30, 34), 2: (29, 34, 36)}
    for clip, name in ((1, "bigbuckbunny"), (2, "bikes")):
        for qp in (0, *levels[clip]):
            scale = ("-t", 2, "-an", "-vf", "scale=640:360,fps=30", "-c:v", "libx264")
            out = tmp_path / f"videoSRC{clip:03d}_640x360_30_qp_{qp:02d}.264"
            source = shared / "videos" / f"{name}.mp4"
            ffmpeg("-i", source, *scale, "-preset", "ultrafast", "-qp", qp, out)
    root = tmp_path / "root"
    done = command(
        *("-m", "common.prepare", "videoset", "--videos", tmp_path, "--labels", shared / "labels"),
        *("--size", "640x360", "--label_size", "1280x720", "--out", root, "--split", "50/0/50"),
    )
    assert done.returncode == 0, done.stderr
    assert "218 label rows without a 640x360 clip: 3-220" in done.stderr
    found = {**levels_of(root, "train"), **levels_of(root, "test")}
    assert found == {
        f"videoSRC{clip:03d}_{number:04d}": list(map(float, levels[clip]))
        for clip in (1, 2)
        for number in (0, 30)
    }
    for row in read_manifest(root):
        for order in (1, 2, 3):
            stream = tmp_path / row[f"jnd{order}_frame"]
            assert f"_qp_{row[f'jnd{order}']}." in stream.name
            decoded = frame_of(stream, int(row["frame"]), 640, 360)
            assert np.array_equal(pixels(root / f"jnd{order}{row['file']}"), resized(decoded))
    assert command("-m", "common.prepare", "check", root).returncode == 0


# MCL-JCI


@pytest.fixture(scope="module")
def mcl_jci(tmp_path_factory):
    """Three pictures and a workbook: one whose levels do not fall by `median`, one row alone."""
    folder = tmp_path_factory.mktemp("mcl-jci")
    for number in (1, 2, 3, 9):
        Image.fromarray(picture(number, 108, 192)).save(folder / f"ImageJND_SRC{number:02d}.bmp")
    book = openpyxl.Workbook()
    book.active.append([1, str([60, 40, 20] * 8)])
    book.active.append([2, str([50, 30, 9, 48, 28, 7])])
    book.active.append([3, str([19, 7, 20, 8, 60, 40, 30])])
    book.active.append([4, str([60, 40, 20])])
    book.save(folder / "samples.xlsx")
    return folder


def test_mcl_jci(command, mcl_jci, tmp_path):
    root = tmp_path / "root"
    done = command(
        *("-m", "common.prepare", "mcl-jci", "--images", mcl_jci, "--statistic", "median"),
        *("--samples", mcl_jci / "samples.xlsx", "--out", root, "--split", "0/0/100"),
        "--keep_size",
    )
    assert done.returncode == 0
    assert "1 row of samples without a picture: 4" in done.stderr
    assert "1 picture without a row of samples: 9" in done.stderr
    assert "ImageJND_SRC03.bmp: median levels 20, 8, 30 do not fall; left out" in done.stderr
    assert levels_of(root, "test") == {
        "ImageJND_SRC01": [60, 40, 20],
        "ImageJND_SRC02": [49, 29, 8],
    }
    source = Image.open(mcl_jci / "ImageJND_SRC02.bmp")
    for order, quality in ((1, 49), (2, 29), (3, 8)):
        source.save(tmp_path / "coded.jpg", quality=quality)
        frame = pixels(root / f"jnd{order}test" / "ImageJND_SRC02.png")
        assert np.array_equal(frame, pixels(tmp_path / "coded.jpg"))
    about = provenance(root)
    assert (about.objective, about.codec) == (False, "JPEG quality")
    checked = command("-m", "common.prepare", "check", root)
    assert checked.returncode == 0, checked.stderr


def test_mcl_jci_three_quarters_are_satisfied(command, mcl_jci, tmp_path):
    samples = ("--samples", mcl_jci / "samples.xlsx", "--split", "0/0/100")
    done = command(
        *("-m", "common.prepare", "mcl-jci", "--images", mcl_jci, *samples),
        *("--out", tmp_path / "root"),
    )
    assert done.returncode == 0
    # Of two viewers the nearest rank is that of the one who sees a change at the finer quality.
    assert levels_of(tmp_path / "root", "test")["ImageJND_SRC02"] == [50, 30, 9]
    assert pixels(tmp_path / "root" / "jnd3test" / "ImageJND_SRC02.png").shape == (352, 640, 3)


# Photos


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
    assert "objective stand-in (VMAF below 94.5, 91.25, 87), not viewers' answers" in done.stdout
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
        assert row["level_kind"].startswith("objective stand-in")
        assert row["metric"].startswith("libvmaf")
    about = provenance(root)
    assert (about.objective, about.codec) == (True, "H.264 QP")
    checked = command("-m", "common.prepare", "check", root)
    assert checked.returncode == 0
    assert "objective stand-in" in checked.stdout
    with Image.open(root / "contact_sheet.png") as sheet:
        assert sheet.width == 1960


def test_photos_levels_are_where_vmaf_falls_below(prepared):
    """By a stream made and measured by ffmpeg alone, at each level and one QP before."""
    root, _ = prepared
    row = read_manifest(root)[0]
    frame = pixels(root / row["file"])
    size = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{frame.shape[1]}x{frame.shape[0]}")
    yuv = f"scale=out_color_matrix=bt601:out_range=tv:{SCALE},format=yuv420p"
    source, coded, log = (root.parent / name for name in ("source.y4m", "coded.264", "log.json"))
    ffmpeg("-y", *size, "-i", "-", "-vf", yuv, source, data=frame.tobytes())
    for order, threshold in ((1, 94.5), (2, 91.25), (3, 87.0)):
        scores = []
        for qp in (int(row[f"jnd{order}"]) - 1, int(row[f"jnd{order}"])):
            ffmpeg("-y", "-i", source, "-c:v", "libx264", "-qp", qp, "-threads", 1, coded)
            measure = f"libvmaf=log_fmt=json:log_path={log}"
            ffmpeg("-i", coded, "-i", source, "-lavfi", measure, "-f", "null", "-")
            scores.append(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])
        assert scores[0] >= threshold > scores[1]
        decoded = frame_of(coded, 0, frame.shape[1], frame.shape[0])
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


def test_cut_outs_may_be_narrow():
    """Of any width from the largest to the least, on a scale of ratios."""
    first, *others = boxes(768, 512, 500, "any", least_width=192)
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
    assert "VMAF below 95, 90, 80" in row["level_kind"]


@pytest.mark.parametrize("seed", range(2))
def test_killed_and_run_again_it_gives_the_same(command, prepared, pictures, tmp_path, seed):
    root, _ = prepared
    again = tmp_path / "root"
    arguments = [sys.executable, *map(str, photos(pictures, again, *SMALL))]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = again / ".prepare" / "frames"
    stop_after = random.Random(seed).randrange(12)
    while process.poll() is None and len(list(done.glob("*.json"))) < stop_after:
        time.sleep(0.01)
    time.sleep(random.Random(seed).random() * 0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # As a kill in the middle of a write leaves it.
    (again / "train").mkdir(parents=True, exist_ok=True)
    done.mkdir(parents=True, exist_ok=True)
    (again / "train" / ".0001_clip.12345678.png").write_bytes(b"half a picture")
    (again / "train" / "0099_stray.png").write_bytes(b"a picture without a record")
    (done / ".0001_clip.12345678.json").write_bytes(b"{half a record")
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
    assert "begun otherwise (split was [60.0, 20.0, 20.0], is [40.0, 30.0, 30.0])" in done.stderr
    assert hashes(root) == before


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
    environment = {**os.environ, "IMAGEIO_FFMPEG_EXE": str(fake)}
    done = command(*photos(pictures, tmp_path / "root"), env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "without libvmaf, which measuring VMAF needs" in done.stderr
    assert not (tmp_path / "root").exists()


def test_a_full_disk(command, pictures, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
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
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# The command line


def test_help_is_quick_and_teaches(command):
    before = os.times()
    done = command("-m", "common.prepare", "photos", "--help")
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    assert done.returncode == 0
    assert used < 0.5
    assert (
        "python3 -m common.prepare photos --images pictures/ --crops 3 --out data/" in done.stdout
    )
    assert "(default: 94.5,91.25,87)" in done.stdout


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
