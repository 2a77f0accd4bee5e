"""Both runtimes, the cache of converted models, and the reading ahead of pictures."""

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from common.base.arrays import write_arrays
from common.base.errors import UserError
from common.base.parallel import count_cores
from common.data.frames import read_rgb
from common.inference import cache
from common.inference.cache import load_or_make
from common.inference.pipeline import PreparedPicture, predict_ahead
from common.inference.predictor import Predictor
from common.inference.records import Failure
from common.inference.runtime import choose_runtime, load_analysis
from common.models.backbone import build_backbone
from common.models.descriptions import MODELS
from common.models.weights import read_weights
from tests import golden
from tests.processes import REPO

pytestmark = pytest.mark.tensorflow
openvino = pytest.importorskip("openvino")

WEIGHTS = REPO / "weights" / "MJLAT.h5"
SAMPLES = sorted((REPO / "samples" / "test").glob("*.webp"))
LAT_LEVELS = np.array(golden.EXPECTED["LAT"]["levels"])


@pytest.fixture(scope="module", params=MODELS)
def golden_file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / f"{request.param}.h5"
    golden.write_weights(request.param, path)
    yield request.param, path
    path.unlink()


@pytest.mark.parametrize(
    ("runtime", "precision", "apart"),
    [("openvino", "float32", 1e-3), ("keras", "float32", 1e-3), ("openvino", "bfloat16", 2e-2)],
)
def test_each_runtime_gives_the_published_levels(golden_file, runtime, precision, apart):
    name, path = golden_file
    # Seconds per frame with Keras, or on a CPU that has no bfloat16.
    count = 1 if MODELS[name].sees == "reconstruction" else 3
    predictor = Predictor(name, path, "JND1", precision, runtime=runtime, model_cache=False)
    levels = predictor.levels(golden.frames(count)[..., ::-1])
    assert levels == pytest.approx(np.array(golden.EXPECTED[name]["levels"])[:count], rel=apart)


def test_the_samples_get_keras_levels_in_float32_and_near_ones_in_bfloat16():
    frames = np.stack([read_rgb(path) for path in SAMPLES])
    keras = Predictor("MJLAT", WEIGHTS, runtime="keras").levels(frames)
    for precision, apart in (("float32", 0.01), ("bfloat16", 0.15)):
        levels = Predictor("MJLAT", WEIGHTS, precision=precision, runtime="openvino").levels(frames)
        assert np.abs(levels - keras).max() < apart


@pytest.mark.parametrize("runtime", ["openvino", "keras"])
def test_the_head_alone_judges_as_the_whole_does(runtime, weights, tmp_path):
    """The analysis transform on its own, then the head; the golden LAT sees latents unrounded."""
    predictor = Predictor("LAT", weights, "JND1", runtime=runtime, model_cache=False)
    from common.models.build import build_model

    model = build_model(MODELS["LAT"])
    read_weights(model.whole, weights)
    analysis = build_backbone((None, None, 3)).analysis
    analysis.set_weights(model.backbones[0].analysis.get_weights())
    analyse = load_analysis(choose_runtime(runtime, "float32"), analysis)
    frame = golden.frames(1)[0]
    latent = analyse(frame)
    assert latent.shape == (22, 40, 192)
    assert predictor.levels_of_latents([latent]) == pytest.approx(LAT_LEVELS[0], rel=1e-3)
    assert analyse(frame[:64, :48]).shape == (4, 3, 192)


def test_a_converted_model_owns_its_weights(weights):
    """The memory of the Keras model that it came from is freed, and soon used for other arrays."""
    from common.inference.openvino import _convert

    graph = _convert(MODELS["LAT"], weights, "float32").graph
    constants = [node for node in graph.get_ops() if node.get_type_name() == "Constant"]
    before = [np.array(constant.data) for constant in constants]
    gc.collect()
    others = [np.full(2**size, 7, np.float32) for size in range(10, 21, 2) for _ in range(40)]
    assert len(others) and all(map(np.array_equal, before, (node.data for node in constants)))


def test_a_model_of_pictures_refuses_bitstream_files(tmp_path):
    golden.write_weights("REC", tmp_path / "RECJND1.h5")
    predictor = Predictor("REC", tmp_path, "JND1", model_cache=False)
    files = [str(tmp_path / "x.latent"), tmp_path / "y.png"]
    coded, missing = predictor.predict(files)
    assert "REC takes pictures, not bitstream files" in str(coded.error)
    assert str(missing.error) == f"{tmp_path / 'y.png'}: no such file"


def test_many_threads_get_what_one_gets(weights):
    predictor = Predictor("LAT", weights, "JND1")
    frames = golden.frames()[..., ::-1]
    alone = [predictor.levels(frame) for frame in frames]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(predictor.levels, [*frames] * 8))
    assert np.array_equal(together, alone * 8)


def test_kernels_rounded_to_bfloat16_keep_their_sums():
    from common.base.framework import tf
    from common.inference.keras import _round_kernel

    kernel = np.random.default_rng(0).standard_normal((5, 5, 4, 4)).astype(np.float32)
    rounded = _round_kernel(kernel)
    assert np.array_equal(rounded, rounded.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32))
    # bfloat16 has 8 significant bits: a tap is off by 2^-8 of itself at most, and so is the sum.
    assert np.abs(rounded - kernel).max() <= 2**-7 * np.abs(kernel).max()
    assert np.abs((rounded - kernel).sum((0, 1))).max() <= 2**-8 * np.abs(kernel).max()


# The cache


def test_a_second_prediction_needs_no_tensorflow(command, no_tensorflow, model_cache):
    asked = "MJLAT.py", "predict", SAMPLES[0], "--precision", "float32"
    first = command(*asked)
    assert first.returncode == 0, first.stderr
    second = command(*asked, env={**no_tensorflow, "XDG_CACHE_HOME": str(model_cache.parent)})
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert second.memory < 0.8


def test_without_the_cache_nothing_is_kept(command, tmp_path, weights):
    done = command(
        *("LAT.py", "predict", "--jnd_value", "JND1", "--model_weights_path", weights),
        *("--no_model_cache", SAMPLES[0]),
        env={"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    left = {path.name for path in tmp_path.rglob("*")}
    assert not left - {".keras", "keras.json"}  # Keras's own


def _flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "laser-jnd"


def _lat_level(weights):
    return Predictor("LAT", weights, "JND1").levels(golden.frames(1)[0][..., ::-1])


def test_a_damaged_model_is_converted_again(own_cache, weights):
    _lat_level(weights)
    (entry,) = own_cache.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(_flip_a_bit(whole))
    assert _lat_level(weights) == pytest.approx(LAT_LEVELS[0], rel=1e-3)
    assert entry.stat().st_size > 0.9 * len(whole)
    before = entry.stat().st_mtime_ns
    assert _lat_level(weights) == pytest.approx(LAT_LEVELS[0], rel=1e-3)
    assert entry.stat().st_mtime_ns > before  # which says when it was used last
    assert list(own_cache.iterdir()) == [entry]


def test_other_weights_are_another_entry(own_cache, weights, tmp_path):
    import h5py

    changed = tmp_path / "LATJND1.h5"
    changed.write_bytes(weights.read_bytes())
    with h5py.File(changed, "a") as file:
        file.visititems(
            lambda name, item: (
                item.write_direct(item[()] + np.float32(1))
                if isinstance(item, h5py.Dataset) and item.shape == (1,)
                else None
            )
        )
    first, second = _lat_level(weights), _lat_level(changed)
    assert second == pytest.approx(first + 1, abs=1e-3)  # the bias of the level
    assert len(list(own_cache.iterdir())) == 2


def test_what_cannot_be_kept_stops_nothing(own_cache, weights, caplog):
    own_cache.write_text("a file where the folder belongs")
    assert _lat_level(weights) == pytest.approx(LAT_LEVELS[0], rel=1e-3)
    assert f"{own_cache}: the converted model is not cached" in caplog.text
    assert own_cache.read_text() == "a file where the folder belongs"


KEYS = {"graph"}


def test_the_least_recently_used_goes(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("x")
    os.utime(tmp_path / "notes.txt", (1, 1))

    def make():
        return {"graph": np.zeros(800, np.uint8)}

    now = time.time()
    for age, name in ((30, "a"), (20, "b")):
        load_or_make(tmp_path, name, KEYS, make)
        os.utime(tmp_path / f"{name}{cache._SUFFIX}", (now - age, now - age))
    load_or_make(tmp_path, "a", KEYS, make)  # used once more, so that b is the older one
    size = (tmp_path / f"a{cache._SUFFIX}").stat().st_size
    monkeypatch.setattr(cache, "MOST_BYTES", 2.5 * size)
    load_or_make(tmp_path, "c", KEYS, make)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"a{cache._SUFFIX}", f"c{cache._SUFFIX}", "notes.txt"}


# Reading ahead


def _show(number: int) -> PreparedPicture | Failure:
    if number % 5 == 3:
        return Failure(path=Path(str(number)), error=UserError(f"{number} is bad"))
    frames = np.full((1 + number % 2, 2, 2, 3), number, np.uint8)
    return PreparedPicture(None, number, 1, frames, [])


def test_predictions_come_in_order_and_errors_in_their_place():
    batches = []

    def levels(frames):
        batches.append(len(frames))
        return frames.mean(axis=(1, 2, 3))[:, np.newaxis]

    found = list(predict_ahead(range(23), _show, levels, 4))
    for number, each in enumerate(found):
        if number % 5 == 3:
            assert str(each.error) == f"{number} is bad"
        else:
            shown, mean = each
            assert (shown.height, mean.tolist()) == (number, [number])
    assert len(found) == 23
    assert max(batches) <= 5 and min(batches[:-1]) >= 4


def test_so_much_is_read_ahead_and_no_more():
    read, lock = [], threading.Lock()

    def show(number):
        with lock:
            read.append(number)
        return _show(0)

    found = predict_ahead(iter(range(1000)), show, lambda frames: np.zeros((len(frames), 1)), 8)
    next(found)
    time.sleep(0.2)
    assert len(read) <= 16 + 2 * count_cores()
    found.close()
    assert len(read) < 100


def test_what_nobody_foresaw_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(predict_ahead([0], lambda number: 1 // number, np.asarray, 1))


def test_damaged_and_foreign_entries_are_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"graph": np.arange(3)}

    path, other = tmp_path / f"m{cache._SUFFIX}", tmp_path / f"other{cache._SUFFIX}"
    load_or_make(tmp_path, "m", KEYS, make)
    whole = path.read_bytes()
    load_or_make(tmp_path, "other", KEYS, lambda: {"graph": np.zeros(1)})
    others = [other.read_bytes()]
    write_arrays(other, {"name": "m", "other": np.zeros(2)}, overwrite=True)
    others.append(other.read_bytes())
    for content in (whole[: len(whole) // 2], _flip_a_bit(whole), b"", *others):
        path.write_bytes(content)
        before = len(made)
        for _ in range(2):  # the second time, what was made is found
            assert load_or_make(tmp_path, "m", KEYS, make)["graph"].tolist() == [0, 1, 2]
        assert len(made) == before + 1
    path.unlink()
    os.mkfifo(path)
    assert load_or_make(tmp_path, "m", KEYS, make)["graph"].tolist() == [0, 1, 2]
