"""Damaged weight files: refused in one line, at once, in little memory; or read as they are.

A few in the suite, 300 where DAMAGE=full is in the environment.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from common.base.errors import UserError
from common.models.compact import compact
from common.models.hdf5 import write_checksum
from common.models.weights import read_weight_file
from tests import golden
from tests.damage import damaged
from tests.processes import REPO

COUNT = 300 if os.environ.get("DAMAGE") == "full" else 40

# HDF5 2.0 crashed on one of these and hung on another.
HARDEST = (142, 973)


@pytest.fixture(scope="module", params=["plain", "summed", "compact"])
def weight_file(request, tmp_path_factory) -> Path:
    """Of a backbone, as Keras writes it, with a checksum, and compressed in chunks with one."""
    folder = tmp_path_factory.mktemp("weights")
    golden.write_weights("Backbone", folder / "plain.h5")
    if request.param == "summed":
        shutil.copy(folder / "plain.h5", folder / "summed.h5")
        with h5py.File(folder / "summed.h5", "a") as file:
            write_checksum(folder / "summed.h5", file)
    if request.param == "compact":
        compact(folder / "plain.h5", folder / "compact.h5")
    return folder / f"{request.param}.h5"


def _structure(path: Path) -> np.ndarray:
    """Where a file's bytes are not values: damage to these is what confuses a reader."""
    values = np.zeros(path.stat().st_size, bool)

    def mark(_: str, node: h5py.Dataset | h5py.Group) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        if node.chunks is None:
            parts = [(node.id.get_offset(), node.id.get_storage_size())]
        else:
            chunks = (node.id.get_chunk_info(n) for n in range(node.id.get_num_chunks()))
            parts = [(chunk.byte_offset, chunk.size) for chunk in chunks]
        for start, size in parts:
            values[start : start + size] = True

    with h5py.File(path) as file:
        file.visititems(mark)
    return np.flatnonzero(~values)


def _damaged_structure(data: bytes, places: np.ndarray, seed: int) -> bytes:
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 32))):
        place = int(places[chance.randrange(len(places))])
        flipped = changed[place] ^ 1 << chance.randrange(8)
        changed[place] = chance.choice((flipped, 0, 255, chance.randrange(256)))
    return bytes(changed)


def read(path: Path) -> int:
    """A checksum of the weights in a file, which has compared them with its own.

    Raises:
        UserError: as `read_weight_file`.
    """
    layers = read_weight_file(path).layers
    return zlib.crc32(b"".join(each.tobytes() for _, values in layers for each in values))


# Reads the files that it is told of, one at a time; what hangs or takes too much memory ends it.
READER = r"""
import json, re, signal, sys
from pathlib import Path
from common.base.errors import UserError
from tests.test_damaged_weights import read

for line in sys.stdin:
    signal.alarm(30)
    try:
        said = read(Path(line.strip()))
    except UserError as error:
        said = str(error)
    # Of this program alone: ru_maxrss counts what the parent held when it forked.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    memory = int(peak[1]) * 1024
    print(json.dumps([said, memory]), flush=True)
"""


def test_damage_is_told_at_once_and_in_little_memory(weight_file, tmp_path):
    data, places = weight_file.read_bytes(), _structure(weight_file)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER],
        cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    path, refused, whole = tmp_path / "damaged.h5", 0, read(weight_file)
    for seed in (*range(COUNT), *HARDEST):
        # Every fourth one is damaged anywhere.
        structure = seed % 4 or seed in HARDEST
        wounded = _damaged_structure(data, places, seed) if structure else damaged(data, seed)
        path.write_bytes(wounded)
        reader.stdin.write(f"{path}\n")
        reader.stdin.flush()
        answer = reader.stdout.readline()
        assert answer, f"seed {seed}: it hung or failed"
        said, memory = json.loads(answer)
        assert memory < 1e9, f"seed {seed}"
        if isinstance(said, str):
            refused += 1
            assert said.startswith(f"{path}: ") and "\n" not in said, f"seed {seed}"
        elif weight_file.name != "plain.h5":
            assert said == whole, f"seed {seed}: other weights without a word"
    reader.communicate()
    assert refused > COUNT / 10


def test_what_is_no_number_or_too_large_is_refused_before_it_is_read(tmp_path):
    def written(name: str, **weights: np.ndarray) -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["layer_names"] = ["dense"]
            group = file.create_group("dense")
            group.attrs["weight_names"] = list(weights)
            for weight, value in weights.items():
                group[weight] = value
        return tmp_path / name

    for value in (np.array([b"ten"]), np.array([1 + 2j]), np.array([1, 2])):
        with pytest.raises(UserError, match=r"/dense/a holds no floating-point numbers"):
            read(written("kind.h5", a=value))
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.attrs["layer_names"] = ["dense"]
        file.create_group("dense").attrs["weight_names"] = ["a"]
        # 4 TB, of which not one byte is on the disk.
        file["dense"].create_dataset("a", (10**6, 10**6), np.float32, chunks=(1000, 1000))
    with pytest.raises(UserError, match=r"holds 1,000,000,000,000 weights, more than any"):
        read(tmp_path / "huge.h5")
    with h5py.File(tmp_path / "names.h5", "w", libver="latest") as file:
        file.attrs["layer_names"] = np.full(20, b"a" * 6000)
    with pytest.raises(UserError, match="layer_names is too long"):
        read(tmp_path / "names.h5")
    for value in (np.nan, -np.inf):
        with pytest.raises(UserError, match=r"has NaN or infinite weights, in /dense/b"):
            read(written("nan.h5", a=np.ones(3), b=np.array([1, value])))
