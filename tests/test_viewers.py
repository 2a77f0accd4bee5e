"""The labels viewers gave: by hand, and all rows of the real files."""

import csv

import numpy as np
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.base.errors import UserError
from common.datasets.viewers import (
    aggregate,
    parse_samples,
    read_mcl_jci,
    read_videoset,
    split_viewers,
)
from common.video.frame_codecs import round_half_up

QPS = st.lists(st.integers(0, 51), min_size=1, max_size=40)


def test_statistics_by_hand():
    # Sorted: 20 22 24 26 28 30 32 34 36. The 25th percentile is the third of nine.
    qps = [36, 20, 34, 22, 32, 24, 30, 26, 28]
    assert aggregate(qps, "sur75") == 24
    assert aggregate(qps, "median") == 28
    assert aggregate([20, 21, 21], "mean") == 20.67
    # Of quality factors the satisfied ones lie above: the third from the top.
    assert aggregate(qps, "sur75", falling=True) == 32


@given(QPS)
def test_three_quarters_are_satisfied(qps):
    level = aggregate(qps, "sur75")
    noticed_before = sum(qp < level for qp in qps)
    assert level in qps
    assert noticed_before <= 0.25 * len(qps) + 0.5
    assert sum(qp <= level for qp in qps) >= 0.25 * (len(qps) - 1)


@given(QPS)
def test_quality_factors_mirror_qps(qps):
    assert aggregate([100 - qp for qp in qps], "sur75", falling=True) == 100 - aggregate(
        qps, "sur75"
    )


def test_whole_by_hand():
    assert [round_half_up(level) for level in (26.49, 26.5, 27.5, 27.0)] == [26, 27, 28, 27]


def test_all_of_videoset(shared):
    samples, partly = read_videoset(shared / "labels", "1280x720")
    assert len(samples) == 220
    assert partly == []
    errors, means = [], []
    for order, name in enumerate(("1st", "2nd", "3rd")):
        path = shared / "labels" / f"videoset_1280x720_{name}.csv"
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            found = samples[int(row["sequence_index"])][order]
            assert len(found) == int(row["samples_no"])
            assert np.mean(found) == pytest.approx(float(row["mean"]), abs=1e-6)
            errors.append(abs(aggregate(found, "sur75") - float(row["jnd"])))
        means.append(np.mean([aggregate(sample[order], "sur75") for sample in samples.values()]))
    assert len(errors) == 660
    assert max(errors) <= 1
    assert sum(error == 0 for error in errors) >= 640
    assert means == pytest.approx([26.56, 31.35, 34.50], abs=0.05)


def test_all_of_mcl_jci(shared):
    path = shared / "labels" / "MCL-JCI_JND_samples.xlsx"
    samples = read_mcl_jci(path)
    assert sorted(samples) == list(range(1, 51))
    viewers = [len(sample[0]) for sample in samples.values()]
    assert sorted(set(viewers)) == [29, 30, 31]
    assert viewers.count(30) == 46
    # The workbook's first row begins 29 18 13 11 8 | 23 12 10 7 | 31 17 11 6 | ...
    assert [sample[:3] for sample in samples[1]] == [[29, 23, 31], [18, 12, 17], [13, 10, 11]]


def test_staircases_by_hand():
    assert split_viewers([29, 18, 8, 23, 12, 12, 5, 40]) == [[29, 18, 8], [23, 12], [12, 5], [40]]


@given(st.lists(st.lists(st.integers(1, 100), min_size=1, unique=True), max_size=20))
def test_staircases_lose_nothing(lists):
    viewers = [sorted(levels, reverse=True) for levels in lists]
    flat = [level for viewer in viewers for level in viewer]
    found = split_viewers(flat)
    assert [level for viewer in found for level in viewer] == flat
    assert all(viewer == sorted(set(viewer), reverse=True) for viewer in found)
    assert len(found) <= len(viewers)


@given(st.text())
def test_samples_are_a_list_of_numbers_or_refused(text):
    try:
        samples = parse_samples(text)
    except ValueError:
        return
    assert samples
    assert all(isinstance(sample, int) for sample in samples)


@given(QPS)
def test_samples_come_back(qps):
    assert parse_samples(str(qps)) == qps


@pytest.mark.parametrize("text", ["[]", "[1.5]", '["a"]', "[true]", "7", "[1, [2]]", "[1, 2"])
def test_damaged_samples_are_refused(text):
    with pytest.raises(ValueError):
        parse_samples(text)


def write_labels(folder, rows, size="64x48", orders=("1st", "2nd", "3rd")):
    for order in orders:
        lines = ["sequence_index,samples", *(f'{clip},"{samples}"' for clip, samples in rows)]
        (folder / f"videoset_{size}_{order}.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([(1, [30]), ("x", [30])], "line 3: needs a column sequence_index"),
        ([(1, "30;31")], "line 2: needs a column"),
        ([(1, [52])], "not within QP 0 to 51"),
        ([(1, [30]), (1, [31])], "line 3: a second row for clip 1"),
    ],
)
def test_damaged_label_files_are_named_with_their_line(tmp_path, rows, told):
    write_labels(tmp_path, rows)
    with pytest.raises(UserError, match=told):
        read_videoset(tmp_path, "64x48")


def test_labels_of_another_size_are_offered(tmp_path):
    write_labels(tmp_path, [(1, [30])])
    write_labels(tmp_path, [(1, [30])], "32x24", ("1st", "3rd"))
    with pytest.raises(UserError, match=r"videoset_32x24_2nd\.csv.*--label_size 64x48 takes"):
        read_videoset(tmp_path, "32x24")


def test_clips_in_some_files_only_are_told(tmp_path):
    write_labels(tmp_path, [(1, [30]), (2, [30])])
    write_labels(tmp_path, [(1, [30])], orders=("2nd",))
    samples, partly = read_videoset(tmp_path, "64x48")
    assert (list(samples), partly) == ([1], [2])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([(1, "[30, 20, 10]"), (2, "[30, 20]")], "row 2: no viewer gave three levels"),
        ([(1, "[101, 20, 10]")], "row 1: a sample is not within quality 1 to 100"),
        ([(1, "[30, 20, 10]"), (1, "[30, 20, 10]")], "row 2: a second row for image 1"),
        ([("one", "[30, 20, 10]")], "row 1: needs an image number"),
        ([(1, None)], "row 1: needs an image number"),
    ],
)
def test_damaged_workbooks_are_named_with_their_row(tmp_path, rows, told):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "samples.xlsx")
    with pytest.raises(UserError, match=told):
        read_mcl_jci(tmp_path / "samples.xlsx")


def test_what_is_no_workbook_says_so(tmp_path):
    (tmp_path / "samples.xlsx").write_text("image,samples")
    with pytest.raises(UserError, match="cannot be read as an Excel workbook"):
        read_mcl_jci(tmp_path / "samples.xlsx")
