"""Splits by content."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.base.errors import UserError
from common.datasets.splitting import (
    Division,
    group_same_pictures,
    make_thumbnail,
    split_contents,
)
from tests.synthetic import picture

SHARES = st.tuples(*[st.integers(0, 100)] * 3).filter(any)


def counts(split):
    values = list(split.values())
    return [values.count(name) for name in ("train", "valid", "test")]


@given(st.integers(1, 300), SHARES, st.integers())
def test_counts_are_the_shares(total, shares, seed):
    split = split_contents([[f"{number}"] for number in range(total)], Division(shares, seed))
    exact = [total * share / sum(shares) for share in shares]
    found = counts(split)
    assert sum(found) == total
    for number, share, part in zip(found, shares, exact):
        assert (number == 0) if share == 0 else (abs(number - part) < 3)
    if total >= 3:
        assert all(number for number, share in zip(found, shares) if share)


def test_shares_by_hand():
    ten = [[str(number)] for number in range(10)]
    assert counts(split_contents(ten, Division((80, 10, 10), 0))) == [8, 1, 1]
    assert counts(split_contents(ten, Division((0, 0, 100), 0))) == [0, 0, 10]
    assert counts(split_contents(ten[:2], Division((80, 10, 10), 0))) == [1, 1, 0]


def test_the_seed_draws_and_the_order_given_does_not():
    names = [[str(number)] for number in range(40)]
    first = split_contents(names, Division((80, 10, 10), 0))
    assert split_contents(names[::-1], Division((80, 10, 10), 0)) == first
    assert split_contents(names, Division((80, 10, 10), 1)) != first


@given(st.lists(st.integers(1, 4), min_size=1, max_size=40), st.integers())
def test_groups_stay_together(sizes, seed):
    groups = [[f"{group}.{part}" for part in range(size)] for group, size in enumerate(sizes)]
    split = split_contents(groups, Division((60, 20, 20), seed))
    assert sorted(split) == sorted(name for group in groups for name in group)
    assert all(len({split[name] for name in group}) == 1 for group in groups)


def test_named_contents_go_to_test_with_their_groups():
    groups = [["a", "b"], *([str(number)] for number in range(10))]
    split = split_contents(groups, Division((80, 20, 0), 0, ["a", "3"]))
    assert {name for name, where in split.items() if where == "test"} == {"a", "b", "3"}
    assert counts(split) == [7, 2, 3]
    with pytest.raises(UserError, match="named missing"):
        split_contents(groups, Division((80, 20, 0), 0, ["missing"]))


def test_named_contents_go_to_valid_and_those_of_both_to_test():
    groups = [["a", "b"], *([str(number)] for number in range(10))]
    split = split_contents(groups, Division((80, 20, 0), 0, ["a"], ["b", "3", "4"]))
    assert {name for name, where in split.items() if where == "test"} == {"a", "b"}
    assert {name for name, where in split.items() if where == "valid"} == {"3", "4"}
    assert counts(split) == [8, 2, 2]
    assert counts(split_contents(groups, Division((50, 0, 50), 0, (), ["3"])))[1] == 1
    with pytest.raises(UserError, match="--valid_contents: no content is named missing"):
        split_contents(groups, Division((80, 20, 0), 0, (), ["missing"]))


def test_the_same_picture_at_another_size_is_found():
    large = picture(7, 512, 768)
    small = np.asarray(Image.fromarray(large).resize((300, 200)))
    darker = (large * 0.8).astype(np.uint8)
    others = [picture(seed, 512, 768) for seed in (8, 9)]
    flat = [np.full((100, 100, 3), grey, np.uint8) for grey in (3, 200)]
    images = [others[0], large, flat[0], small, others[1], darker, flat[1]]
    names = list("abcdefg")
    found = group_same_pictures(names, [make_thumbnail(image) for image in images])
    assert sorted(found) == [["a"], ["b", "d", "f"], ["c"], ["e"], ["g"]]


def test_the_kodak_pictures_under_two_names(shared):
    from common.data.pictures import read_rgb

    names = ("kodim05.png", "kodim06.png", "kodim15.png", "cq100_girl.png", "cq100_motocross.png")
    thumbnails = [make_thumbnail(read_rgb(shared / "photos" / name)) for name in names]
    assert [group for group in group_same_pictures(names, thumbnails) if len(group) > 1] == [
        ["kodim05.png", "cq100_motocross.png"],
        ["kodim15.png", "cq100_girl.png"],
    ]
