"""The search for levels against the full sweep."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.base.errors import UserError
from common.datasets.proxy_labels import (
    LOOK_BACK,
    THRESHOLDS,
    find_levels,
    find_levels_of_each,
    find_lowest_below,
)
from common.video import h264, quality
from tests.synthetic import picture


@given(
    st.lists(st.floats(0, 3), min_size=52, max_size=52),
    st.lists(st.integers(-1, 1), min_size=52, max_size=52),
    st.floats(1, 99),
)
def test_finds_the_sweeps_answer_where_scores_rise_again_only_briefly(falls, noise, threshold):
    # With a fall of at least 1 a QP, noise of 1 up or down lifts no score above one 2 QPs before.
    scores = 100 - np.cumsum(np.array(falls) + 1) + noise
    expected = next((qp for qp, score in enumerate(scores) if score < threshold), None)
    assert find_lowest_below(scores.__getitem__, threshold) == expected


def test_looks_at_few_qps():
    asked = []

    def score(qp):
        asked.append(qp)
        return 100 - qp

    assert find_lowest_below(score, 70.5) == 30
    assert len(set(asked)) <= 6 + LOOK_BACK


def test_begins_at_the_finest_allowed():
    assert find_lowest_below(lambda qp: 0, 50, finest=17) == 17
    assert find_lowest_below(lambda qp: 99, 50) is None


def sweep(rgb):
    def vmaf(qp):
        return quality.measure(rgb, h264.encode(rgb, qp), ["vmaf"])["vmaf"]

    with ThreadPoolExecutor(2) as pool:
        scores = list(pool.map(vmaf, range(52)))
    return [next(qp for qp in range(52) if scores[qp] < limit) for limit in THRESHOLDS], scores


def test_levels_of_a_synthetic_frame_are_the_sweeps():
    rgb = picture(5, 144, 256)
    expected, scores = sweep(rgb)
    levels = find_levels(rgb)
    assert [level.coded for level in levels] == expected
    assert [level.vmaf for level in levels] == [scores[qp] for qp in expected]
    for level in levels:
        alone = h264.decode(h264.encode(rgb, level.coded))
        assert np.array_equal(h264.decode(level.stream), alone)


def test_levels_of_a_photograph_are_the_sweeps(shared):
    # Its VMAF rises and falls about the first threshold: plain bisection lands 2 QP off.
    with Image.open(shared / "photos" / "photo_fossa.jpg") as image:
        box = ((image.width - 1920) // 2, (image.height - 1056) // 2)
        cut = image.convert("RGB").crop((*box, box[0] + 1920, box[1] + 1056))
    rgb = np.asarray(cut.resize((640, 352), Image.Resampling.LANCZOS))
    assert [level.coded for level in find_levels(rgb)] == sweep(rgb)[0]


def test_levels_finer_than_several_at_once_can_be_coded():
    rgb = picture(5, 144, 256)
    _, scores = sweep(rgb)
    # Between no loss and the least, and where several at once begins.
    limits = [(scores[0] + scores[1]) / 2, (scores[3] + scores[4]) / 2, 87]
    expected = [next(qp for qp in range(52) if scores[qp] < limit) for limit in limits]
    assert expected[0] == 1
    assert [level.coded for level in find_levels(rgb, limits)] == expected


def test_a_flat_frame_has_no_levels():
    with pytest.raises(UserError, match=r"VMAF stays at 97\.\d up to QP 51"):
        find_levels(np.full((64, 64, 3), 100, np.uint8))


def test_several_frames_at_once_get_what_each_gets_alone():
    frames = [picture(5, 144, 256), np.full((144, 256, 3), 100, np.uint8), picture(6, 144, 256)]
    first, flat, last = find_levels_of_each(frames)
    assert isinstance(flat, UserError)
    assert [level.coded for level in first] == [level.coded for level in find_levels(frames[0])]
    for level, alone in zip(last, find_levels(frames[2])):
        assert (level.coded, level.vmaf) == (alone.coded, alone.vmaf)
        assert np.array_equal(h264.decode(level.stream), h264.decode(alone.stream))
