"""How far viewers' own answers move the labels: by hand, and of the real viewers."""

import csv

import pytest
from PIL import Image

from common.base.constants import QP
from common.base.errors import UserError
from common.data.manifest import COLUMNS
from common.data.split import read_split
from common.datasets.viewers import read_videoset
from common.evaluation.report.paper import prediction_error
from common.evaluation.report.viewers import label_floor, read_viewers
from common.models.labels import VIEWERS
from tests.synthetic import picture


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


@pytest.fixture
def clips(tmp_path):
    """Two of VideoSet's clips as a test split without a manifest."""
    (tmp_path / "test").mkdir()
    for clip in (7, 11):
        Image.fromarray(picture(clip, 32, 64)).save(tmp_path / "test" / f"videoSRC{clip:03d}.png")
    (tmp_path / "test" / "JND-Levels.txt").write_text("25 30 35\n26 31 36\n")
    return tmp_path


def write_told(root, *told):
    """A manifest of the two clips that tells of each a statistic and a size of labels."""
    rows = [
        {
            **dict.fromkeys(COLUMNS, ""),
            **{"file": f"test/videoSRC{clip:03d}.png", "content": f"videoSRC{clip:03d}"},
            **{"level_kind": VIEWERS, "codec": QP, "statistic": statistic, "label_size": size},
            **dict(zip(("jnd1", "jnd2", "jnd3"), ("25", "30", "35"))),
        }
        for clip, (statistic, size) in zip((7, 11), told)
    ]
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_floor_is_that_of_the_clips_in_test(shared, clips):
    split = read_split(clips, "test", levels_needed=True)
    viewers = read_viewers(shared / "labels", split)
    samples, _ = read_videoset(shared / "labels", "1280x720")
    assert viewers == ([samples[7], samples[11]], "sur75")
    table = prediction_error(split, {("LAT", "JND2"): split.levels[:, 1]}, viewers, {})
    floor = label_floor([samples[7][1], samples[11][1]])
    assert table.values.label_floor.tolist() == pytest.approx([floor])


def test_the_manifests_columns_say_which_labels_and_what_was_made_of_them(shared, clips):
    write_told(clips, ("mean", "1280x720"), ("mean", "1280x720"))
    viewers = read_viewers(shared / "labels", read_split(clips, "test", levels_needed=True))
    assert viewers.statistic == "mean"
    assert len(viewers.samples) == 2

    write_told(clips, ("mean", "640x360"), ("mean", "640x360"))
    with pytest.raises(UserError, match=r"videoset_640x360_1st.csv"):
        read_viewers(shared / "labels", read_split(clips, "test", levels_needed=True))

    write_told(clips, ("mean", "1280x720"), ("median", "1280x720"))
    with pytest.raises(UserError, match=r"one statistic for all images .* 'mean' and 'median'"):
        read_viewers(shared / "labels", read_split(clips, "test", levels_needed=True))
