"""Statistics of pictures: against SciPy's DCT, the theory of quantization, and themselves."""

import numpy as np
import pytest
import scipy.fft
from PIL import Image

from common.base.errors import UserError
from common.data.simulated_coding import (
    PER_QP,
    QPS,
    simulate_coding,
)
from common.data.split import Split
from common.data.statistics import (
    COUNT,
    STATISTICS,
    measure_statistics,
    read_statistics,
    write_statistics,
)
from tests.synthetic import picture

INFORMATION, DETAIL, RATE, BITS, ERROR = slice(0, 4), slice(4, 7), 7, 8, 9


def by_qp(rgb):
    return simulate_coding(rgb).reshape(len(QPS), PER_QP)


def noise(deviation, height=160, width=240):
    grey = np.random.default_rng(0).normal(128, deviation, (height, width, 1))
    return np.repeat(grey.clip(0, 255).astype(np.uint8), 3, axis=2)


def test_rate_and_error_are_those_of_quantized_coefficients():
    """Block by block, with SciPy's DCT of one block and H.264's step at each QP."""
    rgb = picture(3, 48, 64)
    luma = np.asarray(Image.fromarray(rgb).convert("L"), float) * 219 / 255
    for qp, numbers in zip(QPS, by_qp(rgb)):
        step = 0.625 * 2 ** (qp / 6)
        kept, errors = [], []
        for top in range(0, 48, 8):
            for left in range(0, 64, 8):
                block = scipy.fft.dctn(luma[top : top + 8, left : left + 8], norm="ortho")
                indices = np.floor(np.abs(block) / step + 1 / 3)
                kept += [*(indices.ravel()[1:] > 0)]
                errors += [*((np.abs(block) - indices * step) ** 2).ravel()]
        assert np.exp(numbers[RATE]) - 0.01 == pytest.approx(np.mean(kept), abs=1e-3)
        assert np.exp(numbers[ERROR]) - 0.01 == pytest.approx(np.mean(errors), rel=1e-2)


def test_error_of_strong_noise_is_that_of_uniform_quantization():
    """Errors of a rounding offset of 1/3 are uniform in -1/3 to 2/3 steps: a ninth of the step's
    square on average.
    """
    step = 0.625 * 2 ** (QPS[0] / 6)
    assert np.exp(by_qp(noise(40))[0, ERROR]) == pytest.approx(step**2 / 9, rel=0.05)


def test_losses_rise_with_the_qp_and_rate_falls():
    numbers = by_qp(noise(12))
    for column in (0, 1, 2, 4, 5, 6, ERROR):
        assert (np.diff(numbers[:, column]) > 0).all(), column
    for column in (RATE, BITS):
        assert (np.diff(numbers[:, column]) < 0).all(), column


def test_fine_noise_loses_more_than_coarse_noise():
    """At one QP, weak detail is gone where strong detail is left."""
    weak, strong = by_qp(noise(4)), by_qp(noise(40))
    assert (weak[1, INFORMATION][:3] > strong[1, INFORMATION][:3]).all()
    assert (weak[1, DETAIL] > strong[1, DETAIL]).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (24, 24), (25, 31)])
def test_pictures_of_any_size_have_finite_statistics(shape):
    numbers = measure_statistics(np.resize(picture(1, 40, 40), (*shape, 3)))
    assert numbers.shape == (COUNT,)
    assert numbers.dtype == np.float32
    assert np.isfinite(numbers).all()


def test_a_wide_picture_is_seen_1920_pixels_wide():
    large = noise(20, 60, 3840)
    reduced = np.asarray(Image.fromarray(large).resize((1920, 30), Image.Resampling.LANCZOS))
    assert np.array_equal(measure_statistics(large), measure_statistics(reduced))


def test_a_flat_picture_keeps_nothing_and_costs_nothing():
    numbers = by_qp(np.full((64, 64, 3), 90, np.uint8))
    assert np.allclose(numbers[:, :7], 0, atol=1e-3)  # all is lost: log 1
    assert np.allclose(numbers[:, RATE], np.log(0.01))


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
