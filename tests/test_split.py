"""The test split: what is known of its images, with a manifest and without."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from common.base.constants import QP, QUALITY
from common.base.errors import UserError
from common.data.manifest import COLUMNS, write_manifest
from common.data.split import read_split
from common.models.labels import VIEWERS
from tests.conftest import PROXY_LABELS


def folder(root, names, levels):
    """ROOT/test with an image of each name, and lines of levels."""
    (root / "test").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (64, 32)).save(os.fsencode(root / "test") + b"/" + name)
    if levels:
        (root / "test" / "JND-Levels.txt").write_text(levels)
    return root


def test_a_manifest_tells_contents_and_what_levels_are(labelled_root):
    split = read_split(labelled_root, "test", levels_needed=True)
    assert split.names == ["0.png", "1.png", "2.png"]
    assert split.contents.tolist() == ["a", "a", "b"]
    assert split.true("JND2").tolist() == [30, 31, 34]
    assert split.codec_name == QP
    assert split.proxy_labels == PROXY_LABELS
    assert split.caption == (
        f"3 frames of 2 contents in {labelled_root / 'test'}. Levels (H.264 QP): {PROXY_LABELS}."
    )
    with pytest.raises(AttributeError):
        split.levels = np.zeros((3, 3))


def test_without_a_manifest_each_image_is_its_own_content(tmp_path):
    root = folder(tmp_path, [b"img10.png", b"img9.png"], "60 40 20\n50 30 9\n")
    split = read_split(root, "test", levels_needed=True)
    assert split.contents.tolist() == split.names == ["img9.png", "img10.png"]
    assert (split.codec_name, split.labels, split.proxy_labels) == (QUALITY, None, "")
    assert "2 frames of 2 contents" in split.caption
    assert "origin unknown (no manifest.csv)" in split.caption


def test_levels_may_be_missing_only_where_they_are_not_needed(tmp_path):
    root = folder(tmp_path, [b"a.png"], None)
    assert read_split(root, "test").levels is None
    with pytest.raises(UserError, match=r"JND-Levels.txt: no such file"):
        read_split(root, "test", levels_needed=True)


def test_an_image_that_the_manifest_does_not_know_is_named(labelled_root, tmp_path):
    shutil.copytree(labelled_root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "test" / "JND-Levels.txt").unlink()
    shutil.copy(tmp_path / "test" / "0.png", tmp_path / "test" / "stray.png")
    with pytest.raises(UserError, match=r"manifest.csv: no row for test/stray.png; remove"):
        read_split(tmp_path, "test")


def test_names_are_text_whatever_their_bytes(tmp_path):
    root = folder(tmp_path, ["\u00e4.png".encode(), b"z\xff.png"], None)
    file = {"file": "test/\u00e4.png", "content": "one"}
    known = {**dict.fromkeys(COLUMNS, ""), "codec": QP, "level_kind": VIEWERS}
    known |= {"jnd1": "25", "jnd2": "30", "jnd3": "35"}
    other = {"file": r"test/z\xff.png", "content": "two"}
    write_manifest(root, [{**known, **file}, {**known, **other}])
    split = read_split(root, "test")
    assert sorted(split.names) == [r"z\xff.png", "\u00e4.png"]
    assert sorted(split.contents) == ["one", "two"]
    assert all(image.exists() for image in split.images)
