"""`python -m common.prepare videoset` and `mcl-jci`, as a user runs them, on small datasets."""

import csv
import re
import shutil

import numpy as np
import openpyxl
import pytest
from PIL import Image

from common.data.frames import resize
from common.data.listing import list_images
from common.data.manifest import read_labels, read_manifest
from common.data.split import read_split
from tests.processes import PROGRESS
from tests.synthetic import ffmpeg, frame_of, moving, picture, pixels, write_clip


def levels_of(root, split):
    read = read_split(root, split)
    images, levels = read.images, read.known_levels
    return {image.stem: row.tolist() for image, row in zip(images, levels)}


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
    """Two clips of 11 frames, 5 per second, 96x64, with streams at some QPs; labels of both."""
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
    assert done.returncode == 0
    assert re.fullmatch(PROGRESS, done.stderr)
    assert "6 frames (train 0, valid 0, test 6)" in done.stdout
    assert "mean levels (H.264 QP): 21.0, 29.0, 35.5; viewers' judgements" in done.stdout
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
    about = read_labels(root)
    assert (about.is_proxy, about.codec) == (False, "H.264 QP")
    assert {(row["statistic"], row["label_size"]) for row in read_manifest(root)} == {
        ("sur75", "96x64")
    }
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
        assert np.array_equal(pixels(path), resize(source))


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
            assert np.array_equal(pixels(root / f"jnd{order}{row['file']}"), resize(decoded))
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
    about = read_labels(root)
    assert (about.is_proxy, about.codec) == (False, "JPEG quality")
    assert {row["statistic"] for row in read_manifest(root)} == {"median"}
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
