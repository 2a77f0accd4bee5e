"""Encodes and what follows from them: by hand, and against the codec used on its own."""

import io
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.constants import QP, QUALITY
from common.data.split import read_split
from common.evaluation.report import paper
from common.evaluation.report.encodes import (
    encode_image,
    find_best_constant,
    measure_encodes,
    read_even,
)
from common.video import h264, jpeg, quality
from common.video.frame_codecs import CODECS
from tests.synthetic import picture

SIZE = (144, 256)


@pytest.fixture(scope="module")
def frame():
    return picture(1, *SIZE)


@pytest.fixture
def image(frame, tmp_path):
    return saved(frame, tmp_path / "frame.png")


def saved(frame, path):
    Image.fromarray(frame).save(path)
    return path


def test_an_encode_is_the_codecs_and_is_made_once(frame, image, tmp_path):
    codec = CODECS[QP]
    encode = encode_image(image, 30, codec, tmp_path)
    stream = h264.encode(frame, 30)
    assert encode.stream == stream
    assert encode.bits == 8 * len(stream)
    expected = quality.measure(frame, stream)
    assert encode.bits_per_pixel == 8 * len(stream) / (144 * 256)
    assert encode[3:] == pytest.approx((expected["psnr"], expected["ssim"], expected["vmaf"]))

    never = codec._replace(encode=None, measure=None)
    assert encode_image(image, 30, never, tmp_path) == encode
    flipped = saved(frame[:, ::-1], tmp_path / "flipped.png")
    # Another level, frame, or version of the tools is another encode.
    for other in (
        lambda: encode_image(image, 31, never, tmp_path),
        lambda: encode_image(flipped, 30, never, tmp_path),
        lambda: encode_image(
            image, 30, never._replace(encoder=lambda: "x264 of tomorrow"), tmp_path
        ),
    ):
        with pytest.raises(TypeError):
            other()


def test_a_killed_encode_leaves_nothing(image, tmp_path):
    def killed(rgb, stream):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_image(image, 30, CODECS[QP]._replace(measure=killed), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [image]


def test_what_lost_nothing_has_a_number(tmp_path):
    flat = saved(np.full((*SIZE, 3), 128, np.uint8), tmp_path / "flat.png")
    assert encode_image(flat, 30, CODECS[QP], tmp_path).psnr == 100


def test_jpeg_is_pillows_in_420(frame, image, tmp_path):
    encode = encode_image(image, 60, CODECS[QUALITY], tmp_path)
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=60, subsampling=2)  # 2 is 4:2:0
    assert encode.stream == file.getvalue()
    shown = np.asarray(Image.open(file))
    assert np.array_equal(jpeg.decode(encode.stream), shown)
    assert encode.psnr == pytest.approx(quality.measure(frame, shown, ["psnr"])["psnr"])


def test_directions():
    qp, quality = CODECS[QP], CODECS[QUALITY]
    assert (qp.levels[0], qp.levels[-1]) == (0, 51)
    assert (quality.levels[0], quality.levels[-1]) == (100, 1)
    assert qp.coarser_by(np.array([30, 20]), np.array([28, 25])).tolist() == [2, -5]
    assert quality.coarser_by(np.array([30, 20]), np.array([28, 25])).tolist() == [-2, 5]
    assert [qp.nearest(level) for level in (-3.0, 26.5, 60.0)] == [0, 27, 51]
    assert [quality.nearest(level) for level in (0.0, 26.49, 120.0)] == [1, 26, 100]


def test_odd_images_lose_a_row_and_a_column(tmp_path):
    image = picture(2, 75, 101)
    Image.fromarray(image).save(tmp_path / "odd.png")
    assert np.array_equal(read_even(tmp_path / "odd.png"), image[:74, :100])


@pytest.mark.parametrize("levels", [range(0, 52), range(100, 0, -1)])
def test_the_best_constant_level(levels):
    """VMAF 100 - index and 1000 x 2^-(index / 6) bits: between levels both are known exactly."""

    def of_constant(level: int) -> pd.DataFrame:
        index = levels.index(level)
        # Two frames: their mean is what counts.
        bits = 1000 * 2 ** (-index / 6)
        return pd.DataFrame({"vmaf": [99.0 - index, 101.0 - index], "bits": [bits / 2, bits * 1.5]})

    level, bits = find_best_constant(of_constant, 100 - 20.25, levels)
    assert level == pytest.approx(levels[20] + 0.25 * levels.step)
    assert bits == pytest.approx(1000 * 2 ** (-20.25 / 6))
    assert find_best_constant(of_constant, 80.0, levels) == pytest.approx(
        (levels[20], 1000 * 2 ** (-20 / 6))
    )
    assert find_best_constant(of_constant, 100.5, levels)[0] == levels[0]
    assert find_best_constant(of_constant, 0.0, levels)[0] == levels[-1]


@pytest.fixture(scope="module", params=[QP, QUALITY])
def split(request, tmp_path_factory):
    """Three frames with levels: QPs that rise, or quality factors that fall."""
    root = tmp_path_factory.mktemp("root")
    (root / "test").mkdir()
    for number in range(3):
        Image.fromarray(picture(number, *SIZE)).save(root / "test" / f"{number}.png")
    rows = ["24 30 36", "28 33 38", "32 36 40"]
    if request.param == QUALITY:
        rows = ["60 40 20", "50 30 15", "40 25 10"]
    (root / "test" / "JND-Levels.txt").write_text("\n".join(rows))
    found = read_split(root, "test", levels_needed=True)
    assert found.codec_name == request.param
    assert "each image counts as its own content" in found.caption
    return found


def test_quality_and_bitrate_tables(split, tmp_path):
    """One frame right, one finer by 2, one coarser by 4: each number from the codec itself."""
    true, step = split.levels[:, 0], split.codec.levels.step
    levels = true + np.array([0.3, -2.2, 3.9]) * step
    wrong = [int(level) for level in true + np.array([0, -2, 4]) * step]
    frames = [picture(number, *SIZE) for number in range(3)]

    def by_hand(level, number):
        stream = split.codec.encode(frames[number], int(level))
        return split.codec.measure(frames[number], stream), 8 * len(stream)

    at_true = [by_hand(level, number) for number, level in enumerate(true)]
    at_wrong = [by_hand(level, number) for number, level in enumerate(wrong)]
    predictions = {("MJ-LAT", "JND1"): levels}

    table = paper.quality_error(split, predictions, tmp_path)
    row = table.values.set_index("model").loc["MJ-LAT"]
    for metric in ("psnr", "ssim", "vmaf"):
        expected = np.mean([abs(a[0][metric] - b[0][metric]) for a, b in zip(at_true, at_wrong)])
        assert expected > 0
        assert row[f"{metric}_error"] == pytest.approx(expected)
    assert (row.published == 0.72) == (split.codec_name == QP)
    # The median label is the second frame's own: that frame is coded right.
    assert table.values.set_index("model").loc["median label"].psnr_error > 0

    rows = paper.bitrate(split, predictions, tmp_path).values.set_index("levels")
    row = rows.loc["MJ-LAT"]
    total, total_true = sum(bits for _, bits in at_wrong), sum(bits for _, bits in at_true)
    assert row.kbit_per_frame == pytest.approx(total / 3000)
    assert row.bits_over_true_percent == pytest.approx(100 * (total / total_true - 1))
    assert row.noticed_percent == pytest.approx(100 / 3)
    assert (row.mean_excess, row.largest_excess) == (4, 4)
    # Median 28 or 50: coarser than one frame's own level, by 4 or 10.
    median = rows.loc["median label"]
    assert median.constant == pytest.approx(np.median(true))
    assert median.bits_over_constant_percent == pytest.approx(0)
    assert median.largest_excess == abs(true[1] - true[0])
    assert rows.loc["true levels"].noticed_percent == 0
    # The constant's neighbours have the mean VMAF on either side.
    constant = row.constant
    sides = [
        measure_encodes(split, [int(side)] * 3, tmp_path, "").vmaf.mean()
        for side in (np.floor(constant), np.ceil(constant))
    ]
    assert min(sides) <= row.vmaf <= max(sides)


def test_prediction_table_names_the_published_error(split):
    predictions = {
        ("LAT", "JND1"): split.levels[:, 0],
        ("MJ-LAT", "JND1"): split.levels[:, 0] + 1,
        ("MJ-LAT", "JND2"): split.levels[:, 1],
    }
    table = paper.prediction_error(split, predictions, None, {})
    assert split.caption in table.caption
    published = table.values.published
    known = split.codec_name == QP
    assert published.isna().tolist() == [True, not known, True]
    assert not known or published[1] == 1.57
    assert known == ("Published" in table.shown) == ("Published" in table.caption)
    assert table.values.label_floor.isna().all()
    assert table.values.mean_absolute_error.tolist() == [0, 1, 0]


def test_the_cache_takes_names_from_content_alone(frame, tmp_path):
    Image.fromarray(frame).save(tmp_path / "a.png")
    Image.fromarray(frame).save(tmp_path / "b.png")
    cache = tmp_path / "cache"
    encode_image(tmp_path / "a.png", 30, CODECS[QP], cache)
    before = {path: os.stat(path).st_mtime_ns for path in cache.rglob("*.npz")}
    encode_image(tmp_path / "b.png", 30, CODECS[QP], cache)
    assert {path: os.stat(path).st_mtime_ns for path in cache.rglob("*.npz")} == before
    assert len(before) == 1


def test_a_damaged_encode_is_made_again(image, tmp_path):
    first = encode_image(image, 30, CODECS[QP], tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole.replace(b"vmaf", b"xxxx")):
        path.write_bytes(damaged)
        assert encode_image(image, 30, CODECS[QP], tmp_path) == first
        assert path.read_bytes() == whole


def test_several_runs_share_a_cache(image, tmp_path):
    import multiprocessing

    first = encode_image(image, 30, CODECS[QP], tmp_path / "alone")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        given = [(image, 30, tmp_path / "shared")] * 6
        assert pool.starmap(_encoded, given) == [first] * 6
    (kept,) = (path for path in (tmp_path / "shared").rglob("*") if path.is_file())
    assert kept.suffix == ".npz"


def _encoded(image, level, cache):
    return encode_image(image, level, CODECS[QP], cache)
