"""Revision of a scene's CRF after the whole scene was encoded."""

import math

import pytest

from common.encoding.encoders import CRF, ENCODERS, Coding
from common.encoding.planning import ScenePlan, Trial
from common.encoding.scores import Score
from common.video.scenes import Scene

X264 = Coding(ENCODERS["x264"], CRF)


def measured(vmaf: float) -> Score:
    return Score(vmaf, vmaf, vmaf)


def test_a_scene_that_is_one_window_is_revised_by_its_latest_encodes():
    """Its trial had the CRF of the first encode, and its VMAF was measured of fewer frames."""
    trial = Trial(30.0, measured(94.4), math.log(5.6), 4000.0, 32)
    plan = ScenePlan(
        scene=Scene(0, 32, 0, 1), level=26, quantizer=30.0, trials=(trial,), promised_vmaf=94.5
    )
    assert plan.revise(measured(94.9), 4000, X264) is None
    coarser = plan.revise(measured(95.2), 4000, X264)
    # 0.09 per step of log(100 - VMAF), until two encodes tell.
    assert coarser.quantizer == pytest.approx(30 + math.log(5.5 / 4.8) / 0.09, abs=0.06)
    between = coarser.revise(measured(93.7), 3500, X264)
    part = math.log(5.5 / 4.8) / math.log(6.3 / 4.8)
    expected = 30 + part * (coarser.quantizer - 30)
    assert between.quantizer == pytest.approx(expected, abs=0.06)
    assert [each.score.mean for each in between.trials] == [94.4, 95.2, 93.7]
