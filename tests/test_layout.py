"""JND-Levels.txt, in every form that people write it."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.base.errors import UserError
from common.data.split import read_levels, read_split

real = st.one_of(st.integers(1, 100), st.floats(1, 100, width=32))
three = st.tuples(real, real, real).map(sorted)
# QPs, which rise to 51 at most, or quality factors, which fall.
levels = st.one_of(
    st.lists(three.map(lambda row: [level * 0.51 for level in row]), min_size=1),
    st.lists(
        three.map(lambda row: row[::-1]).filter(lambda r: r[0] > r[1]), min_size=1, max_size=9
    ),
)
separators = st.sampled_from([" ", "\t", ",", ", ", ";", " ; ", "   "])
qps = st.tuples(*[st.integers(0, 51)] * 3).map(sorted)
# What a file name may hold, separators and digits included; no path, no quotes, no line breaks.
names = st.text(
    st.characters(whitelist_categories=["L", "N"], whitelist_characters="-_., ;()"), min_size=1
).map(lambda text: f"{text.strip(' ,;') or 'a'}.png")


def _write(tmp_path_factory, lines: list[str], ending: str = "\n") -> Path:
    path = tmp_path_factory.mktemp("labels") / "JND-Levels.txt"
    path.write_bytes((ending.join(lines) + ending).encode())
    return path


@given(rows=levels, separator=separators, ending=st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_the_nth_line_is_the_nth_images(tmp_path_factory, rows, separator, ending):
    lines = [separator.join(str(level) for level in row) for row in rows]
    path = _write(tmp_path_factory, lines, ending)
    images = [path.parent / f"{number}.png" for number in range(len(rows))]
    assert np.array_equal(read_levels(path, images), np.array(rows, np.float32))


@given(data=st.data(), separator=separators)
def test_lines_with_names_pair_by_name(tmp_path_factory, data, separator):
    rows = data.draw(st.dictionaries(names, qps, min_size=1))
    shuffled = data.draw(st.permutations(list(rows)))
    lines = [separator.join([name, *map(str, rows[name])]) for name in shuffled]
    path = _write(tmp_path_factory, lines)
    read = read_levels(path, [path.parent / name for name in rows])
    assert np.array_equal(read, np.array(list(rows.values()), np.float32))


@pytest.mark.parametrize(
    "text, message",
    [
        ("25 30 35\n", "1 lines of levels for 2 images"),
        ("25 30 35\n26 31 36\n27 32 37\n", "3 lines of levels for 2 images"),
        ("25 30 35\n26 x 36\n", "line 2: 'x' is not a level"),
        ("25 30 35\n\n26 31 nan\n", "line 3: level nan is not within H.264 QP 0 to 51"),
        ("25 30 35\n26 31 inf\n", "line 2: level inf"),
        ("25 30 101\n26 31 36\n", "line 1: level 101"),
        ("25 30 35\n-1 31 36\n", "line 2: level -1"),
        ("25 30\n26 31\n", "line 1: 2 levels; three expected"),
        ("25 30 35 40\n26 31 36\n", "line 1: 4 levels; three expected"),
        ("25 30 35\n26,5 31,5 36,5\n", "line 2: 6 levels; three expected, with a point for"),
        ("25 30 35\n26 31 99\n", "line 2: level 99 is not within H.264 QP 0 to 51"),
        ("90 60 35\n80 50 -5\n", "line 2: level -5 is not within JPEG quality 1 to 100"),
        ("90 60 35\n80 50 0\n", "line 2: level 0 is not within JPEG quality 1 to 100"),
        ("JND1 JND2 JND3\n25 30 35\n", "line 1: 'JND1' is not a level"),
        ("a.png 25 30 35\n26 31 36\n", "line 2: no file name"),
        ("a.png 25 30 35\na.png 26 31 36\n", "line 2: a second line for a.png"),
        ("a.png 25 30 35\nc.png 26 31 36\n", "no line for the image b.png, but one for 'c.png'"),
        ("a.png 25 30 35 40\nb.png 26 31 36\n", "image a.png, but one for 'a.png 25'"),
    ],
)
def test_wrong_lines_are_named(tmp_path, text, message):
    path = tmp_path / "JND-Levels.txt"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_levels(path, [tmp_path / "a.png", tmp_path / "b.png"])
    assert str(path) in str(raised.value)
    assert message in str(raised.value)


def test_other_files_than_text_are_refused(tmp_path):
    path = tmp_path / "JND-Levels.txt"
    with pytest.raises(UserError, match="no such file"):
        read_levels(path, [])
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="not a text file"):
        read_levels(path, [])
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="is a directory; it should hold a line of three levels"):
        read_levels(path, [])


def test_equal_levels_are_what_they_can_be(tmp_path):
    path = tmp_path / "JND-Levels.txt"
    path.write_text("99 99 99\n")
    assert read_levels(path, [tmp_path / "a.png"]).tolist() == [[99, 99, 99]]


def test_names_pair_in_any_locale(tmp_path):
    """File names are bytes: a name in UTF-8, and one that is not."""
    (tmp_path / "JND-Levels.txt").write_text("caf\\xe9.png 1 2 3\nñ.png 4 5 6\n", encoding="utf-8")
    images = [tmp_path / "ñ.png", tmp_path / os.fsdecode(b"caf\xe9.png")]
    assert read_levels(tmp_path / "JND-Levels.txt", images).tolist() == [[4, 5, 6], [1, 2, 3]]


def test_levels_of_a_split_are_optional(tmp_path):
    (tmp_path / "test" / "sub").mkdir(parents=True)
    for name in ("b.png", "sub/a.png"):
        (tmp_path / "test" / name).touch()
    split = read_split(tmp_path, "test")
    assert [image.name for image in split.images] == ["b.png", "a.png"]
    assert split.levels is None
    (tmp_path / "test" / "JND-Levels.txt").write_text("sub/a.png 1 2 3\nb.png 4 5 6\n")
    assert read_split(tmp_path, "test").known_levels.tolist() == [[4, 5, 6], [1, 2, 3]]
