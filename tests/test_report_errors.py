"""The report's arithmetic: by hand, against scipy, known distributions and the real viewers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from common.datasets.viewers import read_videoset
from common.evaluation.report.errors import bootstrap_over_contents, label_floor, prediction_errors
from common.evaluation.report.table import Table, html, markdown


def test_errors_by_hand():
    # Errors 1 2 0 8; sorted 0 1 2 8: half-way is 1.5, and nine tenths of the way 2 + 0.7 x 6.
    # The median label is (28 + 31) / 2; it misses by 4.5, 1.5, 3.5, 1.5.
    # Ranks: predictions 2 3 4 1, labels 1 3 4 2; 1 - 6 (1 + 0 + 0 + 1) / (4 x 15) = 0.8.
    errors = prediction_errors(
        np.array([26.0, 29, 33, 20]), np.array([25.0, 31, 33, 28]), np.array(["a", "b", "c", "d"])
    )
    assert errors["mean_absolute_error"] == pytest.approx(2.75)
    assert errors["median_error"] == pytest.approx(1.5)
    assert errors["percentile_90_error"] == pytest.approx(6.2)
    assert errors["rank_correlation"] == pytest.approx(0.8)
    assert errors["median_label"] == pytest.approx(29.5)
    assert errors["median_label_error"] == pytest.approx(2.75)
    assert errors["fraction_of_median_label_error"] == pytest.approx(1.0)


@pytest.mark.filterwarnings("error")
def test_levels_that_are_all_the_same_have_no_rank_correlation():
    errors = prediction_errors(np.array([26.0, 29, 33]), np.full(3, 30.0), np.array([*"abc"]))
    assert np.isnan(errors["rank_correlation"])
    assert np.isnan(errors["fraction_of_median_label_error"])


def test_rank_correlation_with_ties_is_scipys():
    random = np.random.default_rng(3)
    predicted, true = random.normal(size=60), random.integers(20, 26, 60).astype(float)
    errors = prediction_errors(predicted, true, np.arange(60))
    assert errors["rank_correlation"] == pytest.approx(stats.spearmanr(predicted, true).statistic)


def test_the_bootstrap_finds_the_normal_interval_of_independent_contents():
    values = np.random.default_rng(1).normal(10, 3, 900)
    low, high = bootstrap_over_contents(values, np.arange(900))
    half = 1.96 * values.std() / np.sqrt(900)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_frames_of_one_clip_do_not_count_as_more():
    # 100 clips of 9 equal frames know as much as 100 frames, not as 900.
    of_clip = np.random.default_rng(2).normal(10, 3, 100)
    clips = np.array([f"clip{number}" for number in range(100)])
    low, high = bootstrap_over_contents(np.repeat(of_clip, 9), np.repeat(clips, 9))
    half = 1.96 * of_clip.std() / np.sqrt(100)
    assert (low, high) == pytest.approx((of_clip.mean() - half, of_clip.mean() + half), abs=0.05)


def test_a_longer_clip_weighs_by_its_frames():
    # Two clips, of one frame at 0 and of three at 4: a draw gives 0, 3 or 4, each known.
    values, clips = np.array([0.0, 4, 4, 4]), np.array(["a", "b", "b", "b"])
    low, high = bootstrap_over_contents(values, clips, confidence=0.4)
    assert (low, high) == (3.0, 3.0)  # the middle 40 % of 0 (1/4), 3 (1/2), 4 (1/4)
    assert bootstrap_over_contents(values, clips) == (0.0, 4.0)


def test_a_single_clip_tells_no_interval():
    low, high = bootstrap_over_contents(np.array([1.0, 2, 3]), np.array(["a", "a", "a"]))
    assert np.isnan(low)
    assert np.isnan(high)


def test_the_label_floor_of_videoset(shared):
    # SPEC.md: resampling the viewers moves the labels by 0.96, 0.47, 0.38 QP.
    samples, _ = read_videoset(shared / "labels", "1280x720")
    floors = [label_floor([clip[order] for clip in samples.values()]) for order in range(3)]
    assert floors == pytest.approx([0.96, 0.47, 0.38], abs=0.05)


def test_the_label_floor_by_hand():
    # Two viewers, 20 and 30: both draws are 30 in a quarter of the cases, and the 25th percentile
    # by nearest rank of two is the lower. Falling, it is the higher, which a quarter has not.
    assert label_floor([[20, 30]], resamples=20_000) == pytest.approx(2.5, abs=0.15)
    assert label_floor([[20, 32]], falling=True, resamples=20_000) == pytest.approx(3, abs=0.2)
    assert label_floor([[20, 30], [25, 25]], resamples=20_000) == pytest.approx(1.25, abs=0.1)
    # The mean of two draws is 20, 25, 25 or 30.
    assert label_floor([[20, 30]], "mean", resamples=20_000) == pytest.approx(2.5, abs=0.15)


def test_a_table_as_text():
    import pandas as pd

    values = pd.DataFrame({"model": ["A|B", "C<D>"], "error": [1.234, np.nan], "low": [1.0, 2.0]})
    table = Table(
        "name", "Title", "Caption & all.", values,
        {"Model": "{model}", "Error": "{error:.2f}", "Both": "{low:.1f} to {error:.1f}"},
    )  # fmt: skip
    assert markdown(table).splitlines() == [
        "## Title",
        "",
        "Caption & all.",
        "",
        "| Model | Error |       Both |",
        "| ----- | ----: | ---------: |",
        "| A\\|B  |  1.23 | 1.0 to 1.2 |",
        "| C<D>  |     \u2013 |          \u2013 |",
    ]
    page = html(table)
    assert "Caption &amp; all." in page
    assert '<td class="text" data-heading="Model">C&lt;D&gt;</td>' in page
    assert '<td class="number" data-heading="Error">1.23</td>' in page
