"""Statistics of pictures: against x264, libvmaf, SciPy's DCT of single blocks, and hand counts."""

import json

import numpy as np
import pytest
import scipy.fft
from PIL import Image

from common.base.constants import QP, QUALITY
from common.base.errors import UserError
from common.data.simulated_coding import _DEBLOCKING, QPS, _deblock, simulate_coding
from common.data.split import Split
from common.data.statistics import (
    COUNT,
    MOST_PIXELS,
    QUALITIES,
    STATISTICS,
    measure_statistics,
    read_statistics,
    write_statistics,
)
from common.video import h264
from common.video.quality import FEATURES, measure, measure_features
from tests.synthetic import ffmpeg, picture

CODECS = pytest.mark.parametrize("codec", [QP, QUALITY])
# An I frame's QP is 3 below that of the stream.
OF_STREAM = 3


def grey(luma):
    return np.repeat(luma[..., np.newaxis], 3, axis=2)


def find_psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


@pytest.mark.parametrize("seed", [1, 2])
def test_simulated_coding_loses_as_much_as_an_encode(seed):
    luma = picture(seed)[..., 0]
    simulated = [*simulate_coding(luma)]
    scores = measure_features(grey(luma), [*map(grey, simulated)])[:, 0] * 100
    for qp, coded, score in zip(QPS, simulated, scores):
        stream = h264.encode(grey(luma), qp + OF_STREAM)
        (decoded,) = h264.frames(stream, range(1))
        assert find_psnr(coded, luma) == pytest.approx(find_psnr(decoded[..., 0], luma), abs=0.5)
        assert score == pytest.approx(measure(grey(luma), stream, ["vmaf"])["vmaf"], abs=4)


def test_pixels_away_from_edges_are_those_of_quantized_blocks():
    """Block by block; deblocking changes two pixels on each side of an edge."""
    luma = picture(3, 48, 64)[..., 0]
    inside = slice(2, 6)
    for qp, coded in zip(QPS, simulate_coding(luma)):
        step = 0.625 * 2 ** (qp / 6)
        for top in range(0, 48, 8):
            for left in range(0, 64, 8):
                block = luma[top : top + 8, left : left + 8].astype(float) * 219 / 255
                values = scipy.fft.dctn(block, norm="ortho")
                kept = np.sign(values) * np.floor(np.abs(values) / step + 1 / 3) * step
                expected = np.clip(scipy.fft.idctn(kept, norm="ortho") * 255 / 219, 0, 255)
                found = coded[top : top + 8, left : left + 8]
                assert np.abs(found - expected)[inside, inside].max() < 0.51


def filter_edge(row, alpha, beta, change):
    """Filter the edge in the middle of a row of pixels, as 8.7.2.3 of H.264 says for a boundary
    strength below 4, without rounding.
    """
    middle = len(row) // 2
    p0, p1, p2 = row[middle - 1], row[middle - 2], row[middle - 3]
    q0, q1, q2 = row[middle : middle + 3]
    if abs(p0 - q0) >= alpha or abs(p1 - p0) >= beta or abs(q1 - q0) >= beta:
        return row
    most = change + (abs(p2 - p0) < beta) + (abs(q2 - q0) < beta)
    delta = min(max((4 * (q0 - p0) + (p1 - q1)) / 8, -most), most)
    found = list(row)
    found[middle - 1], found[middle] = p0 + delta, q0 - delta
    if abs(p2 - p0) < beta:
        found[middle - 2] += min(max((p2 + (p0 + q0) / 2 - 2 * p1) / 2, -change), change)
    if abs(q2 - q0) < beta:
        found[middle + 1] += min(max((q2 + (p0 + q0) / 2 - 2 * q1) / 2, -change), change)
    return found


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("qp, limits", [(20, (7, 3, 1)), (32, (32, 9, 3))])
def test_edges_between_blocks_are_filtered_by_h264s_rule(qp, limits, across):
    """Pixel by pixel; some rows have steps beyond each limit, and some within."""
    random = np.random.default_rng(0)
    alpha, beta, _ = limits
    sides = random.uniform(-beta, beta, (400, 16)) * random.uniform(0, 1, (400, 1))
    rows = 100 + sides + np.repeat(random.uniform(-alpha, alpha, (400, 2)), 8, axis=1) * 0.7
    expected = np.array([filter_edge(row, *limits) for row in rows])
    changed = np.abs(expected - rows) > 1e-9
    for pixel in (6, 7, 8, 9):
        assert 0.1 < changed[:, pixel].mean() < 0.95
    blocks = rows.astype(np.float32).reshape(50, 8, 2, 8)
    if across:
        blocks = np.ascontiguousarray(blocks.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    _deblock(blocks, _DEBLOCKING[qp])
    assert np.allclose(blocks.reshape(rows.shape), expected, atol=1e-4)


@pytest.mark.parametrize("right", [112, 160])
@pytest.mark.parametrize("across", [False, True])
def test_small_steps_between_flat_blocks_are_smoothed(right, across):
    """By hand, at QP 32: three eighths of the step go to the nearest pixels, a quarter to the next;
    from 32 on it is an edge of the picture.
    """
    left, step = 100, 0.625 * 2 ** (32 / 6)
    blocks = np.repeat([left, right], 8)[np.newaxis].repeat(16, axis=0).astype(np.uint8)
    coded = [*simulate_coding(blocks.T if across else blocks)][QPS.index(32)]
    row = (coded.T if across else coded)[3]
    means = [value * 219 / 255 for value in (left, right)]
    low, high = (np.floor(8 * mean / step + 1 / 3) * step / 8 for mean in means)
    nearest, second = (0, 0) if high - low >= 32 else (3 / 8 * (high - low), (high - low) / 4)
    expected = [low] * 6 + [low + second, low + nearest, high - nearest, high - second] + [high] * 6
    assert np.abs(row - np.array(expected) * 255 / 219).max() < 0.51


@CODECS
def test_statistics_are_the_logarithms_of_losses(codec, tmp_path):
    """VMAF and features are read from libvmaf's own log of a run by hand."""
    rgb = picture(1, 96, 160)
    original, coded = rgb, []
    if codec == QP:
        luma = np.asarray(Image.fromarray(rgb).convert("L"))
        original, coded = grey(luma), [*map(grey, simulate_coding(luma))]
    else:
        for quality in QUALITIES:
            Image.fromarray(rgb).save(tmp_path / "a.jpg", quality=quality, subsampling="4:2:0")
            coded.append(np.asarray(Image.open(tmp_path / "a.jpg")))
    Image.fromarray(original).save(tmp_path / "original.png")
    expected = []
    for each in coded:
        Image.fromarray(each).save(tmp_path / "coded.png")
        yuv = "scale=out_color_matrix=bt601:out_range=tv:flags=bicubic+accurate_rnd"
        yuv += "+full_chroma_int+full_chroma_inp+bitexact,format=yuv420p"
        log = tmp_path / "log.json"
        graph = f"[0]{yuv}[a];[1]{yuv}[b];[a][b]libvmaf=log_fmt=json:log_path={log}"
        files = [*("-i", tmp_path / "coded.png"), *("-i", tmp_path / "original.png")]
        ffmpeg(*files, "-lavfi", graph, "-f", "null", "-")
        scores = json.loads(log.read_text())["frames"][0]["metrics"]
        expected += [1 - scores["vmaf"] / 100, *(1 - scores[name] for name in FEATURES[1:])]
    found = measure_statistics(rgb, codec)
    assert found.dtype == np.float32
    assert np.exp(found) == pytest.approx(np.maximum(expected, 0.002), abs=2e-4)


@CODECS
@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (32, 32), (33, 41)])
def test_pictures_of_any_size_have_finite_statistics(shape, codec):
    for rgb in (np.resize(picture(1, 40, 40), (*shape, 3)), np.full((*shape, 3), 90, np.uint8)):
        numbers = measure_statistics(rgb, codec)
        assert numbers.shape == (COUNT,) and np.isfinite(numbers).all()


@CODECS
def test_a_wide_picture_is_seen_1920_pixels_wide(codec):
    large = picture(1, 66, 3840)
    reduced = np.asarray(Image.fromarray(large).resize((1920, 33), Image.Resampling.LANCZOS))
    assert np.array_equal(measure_statistics(large, codec), measure_statistics(reduced, codec))


def test_a_large_picture_is_reduced_to_the_most_pixels():
    large = np.resize(picture(1, 64, 1024), (2**14, 1024, 3))  # twice as many
    size = [round(side / 2**0.5) for side in (1024, 2**14)]
    assert size[0] * size[1] == pytest.approx(MOST_PIXELS, rel=1e-3)
    reduced = np.asarray(Image.fromarray(large).resize(size, Image.Resampling.LANCZOS))
    assert np.array_equal(measure_statistics(large), measure_statistics(reduced))


def test_a_thin_picture_is_reduced_before_its_border_is_repeated():
    """Otherwise it would have 32 times the pixels, and a height that libjpeg refuses."""
    thin = np.resize(picture(1, 64, 64), (100_000, 1, 3))
    for codec in (QP, QUALITY):
        assert np.isfinite(measure_statistics(thin, codec)).all()


def test_losses_rise_with_the_qp_and_fall_with_the_quality():
    for codec, order in ((QP, 1), (QUALITY, -1)):
        numbers = measure_statistics(picture(2), codec).reshape(2, len(FEATURES))
        assert (order * np.diff(numbers, axis=0) > 0.1).all()


def test_statistics_of_a_root_come_back_by_file_name(tmp_path):
    numbers = np.random.default_rng(0).random((3, COUNT)).round(5)
    rows = [{"file": f"valid/{n}.png", STATISTICS: row.tolist()} for n, row in zip("cab", numbers)]
    write_statistics(tmp_path, rows)
    images = [tmp_path / "valid" / f"{name}.png" for name in "ab"]
    split = Split(root=tmp_path, name="valid", images=images, rows=[])
    assert np.array_equal(read_statistics(split), numbers[1:].astype(np.float32))


def test_statistics_are_not_written_in_part(tmp_path):
    rows = [{"file": "train/a.png", STATISTICS: [0.0] * COUNT}, {"file": "train/b.png"}]
    write_statistics(tmp_path, rows)
    assert not any(tmp_path.iterdir())


def test_missing_and_damaged_statistics_are_told(tmp_path):
    split = Split(root=tmp_path, name="train", images=[tmp_path / "train" / "a.png"], rows=[])
    with pytest.raises(UserError, match="only roots that `prepare photos` made have it"):
        read_statistics(split)
    write_statistics(tmp_path, [{"file": "train/b.png", STATISTICS: [0.0] * COUNT}])
    with pytest.raises(UserError, match="of other images"):
        read_statistics(split)
    write_statistics(tmp_path, [{"file": "train/a.png", STATISTICS: [0.0] * (COUNT - 1)}])
    with pytest.raises(UserError, match="prepare the root again"):
        read_statistics(split)
    (tmp_path / "statistics.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="damaged"):
        read_statistics(split)
