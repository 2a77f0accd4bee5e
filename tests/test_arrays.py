"""Files of arrays: read whole or refused, in little memory, whatever is in them."""

import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from common.base.arrays import read_arrays, write_arrays
from tests.damage import damaged

ARRAYS = {
    "levels": np.arange(600, dtype=np.float32).reshape(20, 30),
    "numbers": np.array([1, -2, 3]),
    "scalar": np.float64(2.5),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "none": np.zeros((0, 3)),
    "flags": np.array([True, False]),
    "text": np.array("levels, ü"),
}
MOST = 100_000


def _header(descr="'<f4'", shape="(2,)", order="False", version=b"\1\0", size=8) -> bytes:
    """An array file of this header, and `size` bytes."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + bytes(size)


def _zip(path, name="levels.npy", data=b"", **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr(name, data)


def test_what_is_written_is_read(tmp_path):
    write_arrays(tmp_path / "a.npz", ARRAYS)
    read = read_arrays(tmp_path / "a.npz", MOST)
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert np.array_equal(read[name], array) and read[name].dtype == np.asarray(array).dtype
    np.savez_compressed(tmp_path / "b.npz", **ARRAYS)  # as others may write them
    assert np.array_equal(read_arrays(tmp_path / "b.npz", MOST)["levels"], ARRAYS["levels"])
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.npz", MOST)


@pytest.mark.parametrize("compress", [np.savez, np.savez_compressed])
def test_damage_is_told_or_harmless(tmp_path, compress):
    compress(tmp_path / "a.npz", **ARRAYS)
    data, refused = (tmp_path / "a.npz").read_bytes(), 0
    for seed in range(300):
        (tmp_path / "b.npz").write_bytes(damaged(data, seed))
        try:
            read = read_arrays(tmp_path / "b.npz", MOST)
        except ValueError as error:
            refused += 1
            assert str(error)
        else:
            assert all(np.array_equal(read[name], ARRAYS[name]) for name in read)
    assert refused > 200


@pytest.mark.parametrize(
    "data",
    [
        _header("'|O'", size=0) + pickle.dumps([1, 2]),
        _header("'<c8'", size=16),
        _header("'<f4', 'more': 3"),
        _header("[('a', '<f4')]"),
        _header("'<f4'", "(3,)"),
        _header("'<f4'", "(10**9,)"),
        _header("'<f4'", "(1000000000, 1000000000)"),
        _header("'<f4'", "(-2,)"),
        _header("'<f4'", "(2.0,)"),
        _header("'<f4'", "((2,),)"),
        _header("'<U500000000'", "()"),
        _header("'<f4'", "(2,", size=0),
        _header("(" * 200),
        _header("'<f4" + "\\" * 3),
        _header("'nonsense'"),
        _header("lambda: 0"),
        _header("'<f4'", order="None"),
        _header(version=b"\3\0"),
        _header(version=b"\x09\0"),
        _header()[:40],
        b"\x93NUMPY\1\0\xff\xff",
        b"",
        b"no array at all",
    ],
)
def test_wrong_contents_with_right_checksums_are_refused(tmp_path, data):
    _zip(tmp_path / "a.npz", data=data)
    tracemalloc.start()
    with pytest.raises(ValueError):
        read_arrays(tmp_path / "a.npz", MOST)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_bombs_are_not_unpacked(tmp_path):
    compressed = {"compression": zipfile.ZIP_DEFLATED}
    _zip(tmp_path / "a.npz", data=_header(shape="(25000000,)", size=10**8), **compressed)
    assert (tmp_path / "a.npz").stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="claims to hold 100,000,128 bytes"):
        read_arrays(tmp_path / "a.npz", MOST)
    # And one that says that it is small.
    data = (tmp_path / "a.npz").read_bytes()
    small = data.replace((10**8 + 128).to_bytes(4, "little"), (136).to_bytes(4, "little"))
    (tmp_path / "b.npz").write_bytes(small)
    with pytest.raises(ValueError):
        read_arrays(tmp_path / "b.npz", MOST)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("levels.npy", _header())
    locked = bytearray((tmp_path / "c.npz").read_bytes())
    for mark in (b"PK\3\4", b"PK\1\2"):  # as one that needs a password
        locked[locked.index(mark) + (6 if mark == b"PK\3\4" else 8)] |= 1
    (tmp_path / "c.npz").write_bytes(locked)
    with pytest.raises(ValueError, match="encrypted"):
        read_arrays(tmp_path / "c.npz", MOST)
