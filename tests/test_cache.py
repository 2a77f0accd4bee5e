"""The cache of slow results: whatever is in its files, a result is right or computed again."""

import pickle

import numpy as np

from common.evaluation.cache import cache_file, fetch, load, store

NAMES = "levels", "pixels"
ARRAYS = np.array([25.5, 30, 36], np.float32), np.array(7)


def test_a_damaged_file_is_whole_or_missing(tmp_path):
    random, file = np.random.default_rng(0), tmp_path / "entry.npz"
    assert load(file, NAMES) is None
    store(file, NAMES, ARRAYS)
    whole = file.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for index in random.integers(len(whole), size=random.integers(1, 4)):
            damaged[index] = random.integers(256)
        file.write_bytes(
            damaged[: random.integers(len(whole))] if random.random() < 0.3 else damaged
        )
        found = load(file, NAMES)
        assert found is None or all(map(np.array_equal, found, ARRAYS))
    file.write_bytes(pickle.dumps(ARRAYS))
    assert load(file, NAMES) is None


def test_results_are_computed_once_and_again_if_damaged_or_of_other_names(tmp_path):
    file, computed = tmp_path / "entry.npz", []

    def compute():
        computed.append(1)
        return ARRAYS

    for _ in range(2):
        assert all(map(np.array_equal, fetch(file, NAMES, compute), ARRAYS))
    assert len(computed) == 1
    for content in (file.read_bytes()[:-40], b"", file.read_bytes().replace(b"pixels", b"xxxxxx")):
        file.write_bytes(content)
        assert all(map(np.array_equal, fetch(file, NAMES, compute), ARRAYS))
    assert len(computed) == 4


def test_files_are_named_by_content_and_inputs(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (cache_file(tmp_path, "kind", 30, tmp_path / name) for name in "abc")
    assert one == same != other
    assert one.is_relative_to(tmp_path / "kind")
    names = [cache_file(tmp_path, "kind", *inputs) for inputs in (("a", "b"), ("ab",), ("a\nb",))]
    assert len(set(names)) == 3
