"""JPEG's proxy labels: against sweeps over all qualities, and Pillow's own files."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from common.base.constants import QUALITY
from common.base.errors import UserError
from common.data.manifest import read_labels, read_manifest
from common.data.split import read_split
from common.data.statistics import COUNT, measure_statistics, read_statistics
from common.datasets.jpeg_labels import find_jpeg_levels
from common.video import jpeg
from common.video.quality import measure, score_frames
from tests.processes import REPO, one_line
from tests.synthetic import picture, pixels

THRESHOLDS = (88.5, 84.5, 81.0)


def jpeg_of(rgb, quality, subsampling="4:2:0") -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(file)


def test_levels_are_those_of_a_sweep():
    rgb = picture(6, 160, 240)
    decoded = {quality: np.asarray(jpeg_of(rgb, quality)) for quality in range(1, 101)}
    scores = {
        quality: measure(rgb, each, ["vmaf"])["vmaf"]
        for quality, each in decoded.items()
        if quality < 80 or quality == 100
    }
    expected = [max(q for q, vmaf in scores.items() if vmaf < limit) for limit in THRESHOLDS]
    levels = find_jpeg_levels(rgb)
    assert [level.coded for level in levels] == expected
    for level, limit in zip(levels, THRESHOLDS):
        assert level.coded <= level.exact < level.coded + 1
        assert level.vmaf == pytest.approx(scores[level.coded], abs=1e-3) and level.vmaf < limit
        assert scores[level.coded + 1] >= limit
        assert np.array_equal(jpeg.decode(level.stream), decoded[level.coded])
        losses = [np.log(100 - scores[level.coded + more]) for more in (0, 1)]
        part = (losses[0] - np.log(100 - limit)) / (losses[0] - losses[1])
        assert level.exact == pytest.approx(level.coded + part, abs=0.01)
    several = score_frames(rgb, [decoded[50], decoded[20]])
    assert several == pytest.approx([scores[50], scores[20]], abs=1e-3)


def test_a_flat_picture_has_no_levels():
    with pytest.raises(UserError, match="up to JPEG quality 1"):
        find_jpeg_levels(np.full((64, 96, 3), 90, np.uint8))


def test_prepare_photos_of_jpeg(command, tmp_path):
    folder, root = tmp_path / "pictures", tmp_path / "root"
    folder.mkdir()
    Image.fromarray(picture(5, 120, 200)).save(folder / "a.png")
    given = ("--images", folder, "--out", root, "--codec", "jpeg", "--labels_of", "whole")
    given += ("--widths", "160", "--keep_size", "--split", "100/0/0", "--whole_qp")
    done = command("-m", "common.prepare", "photos", *given)
    assert done.returncode == 0, done.stderr
    (row,) = read_manifest(root)
    labels = read_labels(root)
    assert labels.codec == QUALITY and labels.thresholds == THRESHOLDS
    assert "highest qualities below" in row["levels_from"]
    frame = pixels(root / row["file"])
    for order in (1, 2, 3):
        quality = int(row[f"jnd{order}"])
        expected = np.asarray(jpeg_of(frame, quality))
        assert np.array_equal(pixels(root / f"jnd{order}{row['file']}"), expected)
        assert row[f"jnd{order}_frame"] == f"frame as JPEG of quality {quality}"
    (found,) = read_statistics(read_split(root, "train"))
    assert np.allclose(found, measure_statistics(frame, QUALITY), atol=1e-4)
    assert found.shape == (COUNT,) and not np.allclose(found, measure_statistics(frame), atol=0.1)


def test_without_a_model_of_qualities_predict_tells_it(in_process, tmp_path):
    given = ("--codec", "jpeg", "--model_weights_path", tmp_path)
    Image.fromarray(picture(1, 40, 40)).save(tmp_path / "a.png")
    one_line(in_process("MJLAT.py", "predict", tmp_path / "a.png", *given), 1, tmp_path)
    shutil.copy(REPO / "weights" / "MJLAT.h5", tmp_path / "BestModel.h5")
    done = in_process("MJLAT.py", "predict", tmp_path / "a.png", *given)
    one_line(done, 1, "BestModel.h5: predicts QPs")
