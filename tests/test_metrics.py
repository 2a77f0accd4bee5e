"""Errors worked out by hand, and the bootstrap against known distributions and the clock."""

import time
import tracemalloc

import numpy as np
import pytest

from common.evaluation.metrics import bootstrap_interval, prediction_errors


def test_errors_by_hand():
    # Errors 1 2 0 8; sorted 0 1 2 8: half-way is 1.5, and nine tenths of the way 2 + 0.7 x 6.
    # The median label is (28 + 31) / 2; it misses by 4.5, 1.5, 3.5, 1.5.
    # Ranks: predictions 2 3 4 1, labels 1 3 4 2; 1 - 6 (1 + 0 + 0 + 1) / (4 x 15) = 0.8.
    errors = prediction_errors(
        np.array([26.0, 29, 33, 20]), np.array([25.0, 31, 33, 28]), np.array(["a", "b", "c", "c"])
    )
    assert (errors["frames"], errors["contents"]) == (4, 3)
    assert errors["mean_absolute_error"] == pytest.approx(2.75)
    assert errors["median_error"] == pytest.approx(1.5)
    assert errors["percentile_90_error"] == pytest.approx(6.2)
    assert errors["rank_correlation"] == pytest.approx(0.8)
    assert errors["median_label"] == pytest.approx(29.5)
    assert errors["median_label_error"] == pytest.approx(2.75)
    assert errors["fraction_of_median_label_error"] == pytest.approx(1.0)


@pytest.mark.filterwarnings("error")
def test_a_single_image_has_no_rank_correlation():
    errors = prediction_errors(np.array([26.0]), np.array([25.0]), np.array(["a"]))
    assert np.isnan(errors["rank_correlation"])
    assert errors["mean_absolute_error"] == 1


@pytest.mark.filterwarnings("error")
def test_levels_that_are_all_the_same_have_no_rank_correlation():
    errors = prediction_errors(np.array([26.0, 29, 33]), np.full(3, 30.0), np.array([*"abc"]))
    assert np.isnan(errors["rank_correlation"])
    assert np.isnan(errors["fraction_of_median_label_error"])


def test_rank_correlation_with_ties_is_that_of_mean_ranks():
    random = np.random.default_rng(3)
    predicted, true = random.normal(size=60), random.integers(20, 26, 60).astype(float)
    errors = prediction_errors(predicted, true, np.arange(60))
    ranks = [[(v > w).sum() + (v == w).sum() / 2 for v in w] for w in (predicted, true)]
    assert errors["rank_correlation"] == pytest.approx(np.corrcoef(ranks)[0, 1])


def test_the_bootstrap_finds_the_normal_interval_of_independent_contents():
    values = np.random.default_rng(1).normal(10, 3, 900)
    low, high = bootstrap_interval(values, np.arange(900))
    half = 1.96 * values.std() / np.sqrt(900)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_frames_of_one_clip_do_not_count_as_more():
    # 100 clips of 9 equal frames know as much as 100 frames, not as 900.
    of_clip = np.random.default_rng(2).normal(10, 3, 100)
    clips = np.array([f"clip{number}" for number in range(100)])
    low, high = bootstrap_interval(np.repeat(of_clip, 9), np.repeat(clips, 9))
    half = 1.96 * of_clip.std() / np.sqrt(100)
    assert (low, high) == pytest.approx((of_clip.mean() - half, of_clip.mean() + half), abs=0.05)


def test_a_longer_clip_weighs_by_its_frames():
    # Two clips, of one frame at 0 and of three at 4: a draw gives 0, 3 or 4, each known.
    values, clips = np.array([0.0, 4, 4, 4]), np.array(["a", "b", "b", "b"])
    low, high = bootstrap_interval(values, clips, confidence=0.4)
    assert (low, high) == (3.0, 3.0)  # the middle 40 % of 0 (1/4), 3 (1/2), 4 (1/4)
    assert bootstrap_interval(values, clips) == (0.0, 4.0)


def test_a_single_clip_tells_no_interval():
    assert np.isnan(bootstrap_interval(np.array([1.0, 2, 3]), np.array(["a", "a", "a"]))).all()


def test_ten_thousand_images_take_a_second_and_little_memory():
    values = np.random.default_rng(1).normal(2, 1, 10_000)
    began = time.process_time()
    low, high = bootstrap_interval(values, np.arange(10_000))
    assert time.process_time() - began < 3
    half = 1.96 * values.std() / 100
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.003)
    tracemalloc.start()
    bootstrap_interval(values[:3000], np.arange(3000))
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
