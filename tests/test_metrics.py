"""Errors worked out by hand, and the bootstrap against a known distribution."""

from __future__ import annotations

import numpy as np
import pytest

from common.evaluation.metrics import bootstrap_interval, level_errors


def test_errors_by_hand():
    errors = level_errors(np.array([26.0, 29, 33, 20]), np.array([25.0, 31, 33, 28]))
    assert errors["images"] == 4
    assert errors["mean_absolute_error"] == pytest.approx((1 + 2 + 0 + 8) / 4)
    assert errors["median_label"] == pytest.approx((28 + 31) / 2)
    assert errors["median_label_error"] == pytest.approx((4.5 + 1.5 + 3.5 + 1.5) / 4)
    assert errors["interval_low"] < errors["mean_absolute_error"] < errors["interval_high"]


def test_the_bootstrap_finds_the_normal_interval():
    values = np.random.default_rng(1).normal(10, 3, 900)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(900)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_one_image_has_no_spread():
    assert bootstrap_interval(np.array([1.5])) == (1.5, 1.5)
