"""`check` on a good folder, and on the same folder damaged in one way each."""

import shutil

import numpy as np
import pytest
from PIL import Image

from common.base.errors import UserError
from common.commands.main import main
from common.data.manifest import COLUMNS, read_labels, write_manifest
from common.datasets.checking import check

LEVELS = {"train": [(25, 30, 34), (27, 31, 35), (29, 32, 33)], "test": [(26, 30, 35)]}


@pytest.fixture
def root(tmp_path):
    """Four frames and their JND frames, 32x24, with a manifest of stand-ins."""
    random = np.random.default_rng(0)
    rows = []
    for split, levels in LEVELS.items():
        for number, three in enumerate(levels, 1):
            name = f"{number:04d}.png"
            for prefix in ("", "jnd1", "jnd2", "jnd3"):
                path = tmp_path / f"{prefix}{split}" / name
                path.parent.mkdir(exist_ok=True)
                noise = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
                Image.fromarray(noise).save(path)
            row = dict.fromkeys(COLUMNS, "")
            row |= {f"jnd{order}": level for order, level in enumerate(three, 1)}
            row |= {"file": f"{split}/{name}", "split": split, "content": f"{split}{number}"}
            row |= {"level_kind": "objective stand-in (VMAF below 1)", "codec": "H.264 QP"}
            rows.append(row)
        write_levels(tmp_path, split, levels)
    write_manifest(tmp_path, rows)
    return tmp_path


def write_levels(root, split, levels):
    lines = [" ".join(map(str, three)) for three in levels]
    (root / split / "JND-Levels.txt").write_text("\n".join(lines) + "\n")


def test_a_good_folder(root):
    report = check(root)
    alone = "1 image with levels is too few for a confidence interval of errors"
    assert report.warnings == [f"test: {alone}"]
    assert report.errors == []
    assert "test: 1 image with levels" in "\n".join(report.there)
    text = "\n".join(report.there)
    assert "proxy labels (VMAF below 1), not viewers' judgements" in text
    assert "train: 3 images with levels, 32x24; JND frames: JND1, JND2, JND3" in text


def test_one_is_no_plural(root, capsys):
    assert main("prepare", ["check", str(root)]) == 0
    assert capsys.readouterr().out.endswith(f"{root}: 0 errors, 1 warning\n")


def test_statistics_by_hand(root):
    lines = check(root).there
    head = next(line for line in lines if line.startswith("always answering"))
    assert "train's median (27, 31, 34)" in head
    train = next(line for line in lines if line.startswith("train  ")).split()
    # JND1 25 27 29: mean 27, deviation sqrt(8/3), error (2 + 0 + 2) / 3.
    assert train[1:5] == ["3", "27.00", "1.63", "1.33"]
    test = next(line for line in lines if line.startswith("test  ")).split()
    assert test[1:] == [
        "1",
        "26.00",
        "0.00",
        "1.00",
        "30.00",
        "0.00",
        "1.00",
        "35.00",
        "0.00",
        "1.00",
    ]


def test_histogram_by_hand(root):
    lines = check(root).there
    # 30 twice and 29 once, 34 once and 35 twice: the longest bars are of two.
    assert next(line for line in lines if line.split()[:1] == ["30"]).split()[1:] == ["#" * 20, "2"]
    assert next(line for line in lines if line.split()[:1] == ["29"]).split()[1:] == ["#" * 10, "1"]


def copy_frame(root):
    shutil.copy(root / "train" / "0002.png", root / "jnd2train" / "0002.png")


def shrink_frame(root):
    Image.new("RGB", (16, 12)).save(root / "jnd1train" / "0001.png")


def cut_frame(root):
    path = root / "jnd3test" / "0001.png"
    path.write_bytes(path.read_bytes()[:200])


def cut_image(root):
    path = root / "train" / "0003.png"
    path.write_bytes(path.read_bytes()[:200])


def add_content_twice(root):
    text = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(text.replace(",test1,", ",train1,"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (copy_frame, "jnd2train/0002.png: identical to its source"),
        (shrink_frame, "jnd1train/0001.png: 16x12, but its source has 32x24"),
        (cut_frame, "jnd3test/0001.png: cannot be read as an image"),
        (cut_image, "train/0003.png: cannot be read as an image"),
        (
            lambda root: (root / "jnd1train" / "0002.png").unlink(),
            "jnd1train: 2 frames for 3 images (unpaired: 0002)",
        ),
        (
            lambda root: (root / "train" / "0002.png").unlink(),
            "train/0002.png: in manifest.csv, but missing",
        ),
        (
            lambda root: (root / "train" / "JND-Levels.txt").unlink(),
            "train/JND-Levels.txt: no such file",
        ),
        (
            lambda root: write_levels(root, "train", LEVELS["train"][:2]),
            "2 lines of levels for 3 images",
        ),
        (
            lambda root: write_levels(root, "test", [(26, 30, 29)]),
            "test/0001.png: levels 26, 30, 29 do not rise",
        ),
        (
            lambda root: write_levels(root, "test", [(26, 30, 52)]),
            "test/JND-Levels.txt, line 1: level 52 is not within H.264 QP 0 to 51",
        ),
        (
            lambda root: write_levels(root, "test", [(26, 30, 36)]),
            "test/0001.png: manifest.csv has other levels than JND-Levels.txt",
        ),
        (add_content_twice, "train1: in more than one split (test, train)"),
        (lambda root: (root / "manifest.csv").write_text("a,b\n1,2\n"), "no column file"),
    ],
)
def test_each_damage_is_an_error(command, root, damage, told):
    damage(root)
    assert any(told in line for line in check(root).errors), check(root).errors
    done = command("-m", "common.prepare", "check", root)
    assert done.returncode == 1
    assert told in done.stderr


def test_what_may_be_meant_is_a_warning(root):
    (root / "manifest.csv").unlink()
    shutil.rmtree(root / "jnd2train")
    shutil.rmtree(root / "jnd3test")
    write_levels(root, "train", [(25, 30, 34), (27, 27, 35), (29, 32, 33)])
    (root / "jnd1train" / "0003.png").rename(root / "jnd1train" / "0003b.png")
    report = check(root)
    assert report.errors == []
    text = "\n".join(report.warnings)
    assert "jnd2train: missing" in text
    assert "jnd3test" not in text
    assert "train: two equal levels in 1 rows, first train/0002.png" in text
    assert "jnd1train: 1 names differ from their images'" in text
    assert "origin unknown (no manifest.csv)" in report.there[0]
    assert read_labels(root) is None
    (root / "manifest.csv").write_text("a,b\n1,2\n")
    assert "origin unknown (damaged manifest.csv)" in check(root).there[0]


def test_quality_factors_must_fall(root):
    (root / "manifest.csv").unlink()
    write_levels(root, "train", [(60, 40, 20), (50, 30, 10), (40, 30, 35)])
    write_levels(root, "test", [(90, 30, 10)])
    report = check(root)
    assert "levels: JPEG quality" in report.there[0]
    assert report.errors == ["train/0003.png: levels 40, 30, 35 do not fall"]


def test_no_images_at_all(tmp_path):
    assert "no images in any of train, valid, test" in check(tmp_path).errors[0]
    with pytest.raises(UserError, match="no such folder"):
        check(tmp_path / "absent")


def test_an_unfinished_folder_says_how_to_go_on(root):
    (root / "manifest.csv").unlink()
    (root / ".prepare").mkdir()
    assert any("run the same common.prepare command again" in line for line in check(root).errors)
