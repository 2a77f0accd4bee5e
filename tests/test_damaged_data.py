"""Damaged manifests, label files and images: told in one line, at once and with little memory.

A few of each in the suite, 300 label files and 200 images where DAMAGE=full is in the environment.
`python -m tests.test_damaged_data images 0 200` tries seeds 0 to 199 of a kind, and prints
those that end otherwise.
"""

import contextlib
import functools
import io
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from PIL import Image

from common.base.constants import QP
from common.base.errors import UserError
from common.data.manifest import COLUMNS, read_labels, read_manifest, write_manifest
from common.data.pictures import read_rgb
from common.data.split import read_split
from common.datasets.checking import check
from common.datasets.viewers import read_mcl_jci, read_videoset
from tests.damage import damaged
from tests.processes import run
from tests.synthetic import picture

SHARE = 1 if os.environ.get("DAMAGE") == "full" else 5  # one in so many
LEVELS = [(25, 30, 34), (27, 31, 35), (29, 32, 33)]
# How an image file is saved, by its name; Pillow decodes each by another path.
SAVED = {
    "a.png": {},
    "palette.png": {},
    "deep.png": {},
    "turned.jpg": {"quality": 90},
    "progressive.jpg": {"progressive": True},
    "a.bmp": {},
    "a.webp": {},
    "raw.tif": {},
    "deflate.tif": {"compression": "tiff_deflate"},
    "lzw.tif": {"compression": "tiff_lzw"},
}


def write_root(root: Path) -> None:
    """A prepared folder of three frames with a manifest, and lines of levels without names."""
    rows = []
    for number, levels in enumerate(LEVELS, 1):
        for order in range(4):
            folder = root / f"jnd{order}train" if order else root / "train"
            folder.mkdir(exist_ok=True)
            Image.fromarray(picture(4 * number + order, 48, 64)).save(folder / f"{number:04d}.png")
        told = {"file": f"train/{number:04d}.png", "split": "train", "content": f"c{number}"}
        told |= {
            "level_kind": "viewers",
            "levels_from": "viewers' sur75, videoset_96x64",
            "codec": QP,
        }
        told |= {f"jnd{order}": str(level) for order, level in enumerate(levels, 1)}
        rows.append({**dict.fromkeys(COLUMNS, ""), **told})
    write_manifest(root, rows)
    lines = [" ".join(map(str, levels)) for levels in LEVELS]
    (root / "train" / "JND-Levels.txt").write_text("\n".join(lines) + "\n")


def write_labels(root: Path) -> None:
    """Label files of VideoSet and MCL-JCI."""
    for order in ("1st", "2nd", "3rd"):
        rows = [f'{clip},"{[20 + clip + number for number in range(9)]}"' for clip in range(1, 9)]
        text = "\n".join(["sequence_index,samples", *rows]) + "\n"
        (root / f"videoset_96x64_{order}.csv").write_text(text)
    book = openpyxl.Workbook()
    for number in range(1, 9):
        book.active.append([number, str([60, 40, 20] * 8)])
    book.save(root / "samples.xlsx")


def write_images(root: Path) -> None:
    """One file of each kind in `SAVED`."""
    rgb = picture(1, 96, 160)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in SAVED.items():
        image = Image.fromarray(rgb)
        if name == "palette.png":
            image = image.quantize(64)
        elif name == "deep.png":
            image = Image.fromarray(rgb[..., 0].astype(np.uint16) * 256)
        image.save(root / name, **options, **({"exif": exif} if name == "turned.jpg" else {}))


def read_folder(root: Path) -> None:
    """All that reads the manifest and the levels of a folder."""
    assert check(root).there
    levels = functools.partial(read_split, name="train", with_manifest=False)
    for read in (read_manifest, read_labels, levels):
        with contextlib.suppress(UserError):
            read(root)


# Kind: files to damage, turn by turn, and what reads them.
KINDS = {
    "manifests": (["manifest.csv"], read_folder),
    "levels": (["train/JND-Levels.txt"], read_folder),
    "frames": (["train/0001.png", "jnd2train/0002.png"], read_folder),
    "videoset": (["videoset_96x64_2nd.csv"], lambda root: read_videoset(root, "96x64")),
    "workbooks": (["samples.xlsx"], lambda root: read_mcl_jci(root / "samples.xlsx")),
    "images": (list(SAVED), lambda root: [read_rgb(root / name) for name in SAVED]),
}


def wrong(kind: str, seeds: range) -> Iterator[str]:
    """Which damage ends in anything but an error of one line within five seconds."""
    files, read = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for write in (write_root, write_labels, write_images):
            write(root)
        for seed in seeds:
            path = root / files[seed % len(files)]
            whole = path.read_bytes()
            path.write_bytes(damaged(whole, seed))
            begun, said = time.monotonic(), io.StringIO()
            try:
                with contextlib.redirect_stderr(said):
                    read(root)
            except UserError:
                pass
            except BaseException:
                yield f"{kind} {seed}, {path.name}: {traceback.format_exc()}"
            if time.monotonic() - begun > 5 or said.getvalue():
                yield f"{kind} {seed}, {path.name}: too long or loud, {said.getvalue()}"
            path.write_bytes(whole)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("manifests", 100),
        ("levels", 100),
        ("videoset", 60),
        ("workbooks", 40),
        ("frames", 40),
        ("images", 160),
    ],
)
def test_damage_is_an_error_of_one_line(kind, count):
    done = run("-m", "tests.test_damaged_data", kind, 0, count // SHARE)
    assert (done.returncode, done.stdout) == (0, "")  # libtiff itself may speak on stderr
    assert done.memory < 1


if __name__ == "__main__":
    for line in wrong(sys.argv[1], range(*map(int, sys.argv[2:]))):
        print(line)
