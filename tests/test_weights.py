"""Weight files: found, read, refused, written."""

import errno

import h5py
import numpy as np
import pytest

from common.base.errors import UserError
from common.base.framework import tf
from common.models.backbone import build_backbone
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.hdf5 import list_weights
from common.models.labels import Labels
from common.models.weight_paths import find_weights
from common.models.weights import read_weights, write_weights
from tests import golden

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def lat() -> tf.keras.Model:
    return build_model(MODELS["LAT"]).whole


@pytest.fixture
def lat_file(tmp_path):
    golden.write_weights("LAT", tmp_path / "LATJND1.h5")
    return tmp_path / "LATJND1.h5"


def test_a_folder_gives_the_published_name_first(tmp_path):
    names = MODELS["LAT"].weight_files("JND2")
    assert names == ["LATJND2.h5", "BestModelJND2.h5"]
    (tmp_path / "BestModelJND2.h5").touch()
    assert find_weights(tmp_path, names).name == "BestModelJND2.h5"
    (tmp_path / "LATJND2.h5").touch()
    assert find_weights(tmp_path, names).name == "LATJND2.h5"
    assert find_weights(tmp_path / "BestModelJND2.h5", names).name == "BestModelJND2.h5"


def test_nothing_found_names_files_and_record(tmp_path):
    with pytest.raises(UserError, match=r"MJLAT\.h5.*BestModel\.h5.*11080876"):
        find_weights(tmp_path, MODELS["MJLAT"].weight_files(None))
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        find_weights(tmp_path / "nowhere", MODELS["MJLAT"].weight_files(None))


def test_numbers_in_layer_names_do_not_count(lat, lat_file):
    with h5py.File(lat_file, "r+") as file:
        names = [layer.encode() for layer, _ in golden.LAYOUT["LAT"]]
        names[names.index(b"conv2d_1")] = b"conv2d_37"
        file.move("conv2d_1", "conv2d_37")
        file.attrs["layer_names"] = names
    read_weights(lat, lat_file)
    kernel = golden._value("LAT", "conv2d_1/kernel:0", [5, 5, 128, 128])
    convolutions = [layer for layer in lat.layers if isinstance(layer, tf.keras.layers.Conv2D)]
    assert np.allclose(convolutions[1].kernel, kernel)


def test_another_models_file_says_what_was_expected_and_found(lat, tmp_path):
    golden.write_weights("REC", tmp_path / "LATJND1.h5")
    with pytest.raises(UserError, match=r"LATJND1\.h5.*should be .*192.*but is conv2d_transpose"):
        read_weights(lat, tmp_path / "LATJND1.h5")


def test_models_of_equal_shapes_are_told_apart(tmp_path):
    golden.write_weights("E2EREC", tmp_path / "REC.h5")
    with pytest.raises(UserError, match="JNDImg"):
        read_weights(build_model(MODELS["REC"]).whole, tmp_path / "REC.h5")


def test_a_file_with_too_few_layers_gives_both_counts(lat, tmp_path, lat_file):
    with h5py.File(lat_file, "r+") as file:
        file.attrs["layer_names"] = file.attrs["layer_names"][:-1]
    with pytest.raises(UserError, match="24 layers with weights expected, 23 found"):
        read_weights(lat, lat_file)


def test_a_wrong_shape_is_named(lat, lat_file):
    with h5py.File(lat_file, "r+") as file:
        del file["dense_8/dense_8/kernel:0"]
        file["dense_8"].create_dataset("dense_8/kernel:0", data=np.zeros((12800, 256)))
    with pytest.raises(
        UserError, match=r"should be dense 25600x256 256, but is dense 12800x256 256"
    ):
        read_weights(lat, lat_file)


@pytest.mark.parametrize("size", [0, 100, 1_000_000])
def test_a_truncated_file_is_refused(lat, lat_file, size):
    with lat_file.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(UserError, match=r"LATJND1\.h5: not a complete Keras HDF5 weight file"):
        read_weights(lat, lat_file)


def test_what_is_written_plain_keras_reads(tmp_path):
    written, read = build_backbone().whole, build_backbone().whole
    write_weights(written, tmp_path / "new" / "ImgReconstruction.h5")
    read.load_weights(tmp_path / "new" / "ImgReconstruction.h5")
    for ours, theirs in zip(written.get_weights(), read.get_weights()):
        assert np.array_equal(ours, theirs)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["ImgReconstruction.h5"]


def test_one_changed_bit_is_noticed(tmp_path):
    """In any weight, or in what the file tells of levels and rounding; files without a sum pass."""
    path, model = tmp_path / "ImgReconstruction.h5", build_backbone().whole
    offsets = [np.linspace(-0.5, 0.5, 192, dtype=np.float32)]
    write_weights(model, path, Labels(codec="H.264 QP"), offsets)
    read_weights(model, path)
    data, random = path.read_bytes(), np.random.default_rng(5)
    with h5py.File(path) as file:
        sets = [each for _, layer in list_weights(path, file) for each in layer]
        spans = [(each.id.get_offset(), each.nbytes) for each in sets]
    for offset, length in spans:
        changed = bytearray(data)
        changed[offset + random.integers(length // 4) * 4] ^= 1  # the last digit of a number
        path.write_bytes(changed)
        with pytest.raises(UserError, match="damaged: its checksum does not match"):
            read_weights(model, path)
    for name, value in (("labels_codec", "JPEG quality"), ("quantization_offsets", offsets[0] + 1)):
        path.write_bytes(data)
        with h5py.File(path, "a") as file:
            file.attrs[name] = value
        with pytest.raises(UserError, match="damaged: its checksum does not match"):
            read_weights(model, path)
    path.write_bytes(data)
    with h5py.File(path, "a") as file:
        del file.attrs["checksum"]
    read_weights(model, path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    class Broken:
        def save_weights(self, path, save_format):
            path.write_text("half")
            raise OSError("disk full")

    (tmp_path / "LAT.h5").write_text("old")
    with pytest.raises(OSError):
        write_weights(Broken(), tmp_path / "LAT.h5")
    assert (tmp_path / "LAT.h5").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_without_room_gets_no_half_file(small_disk):
    disk = small_disk("5m")
    with pytest.raises(OSError) as raised:
        write_weights(build_backbone().whole, disk / "weights.h5")
    assert raised.value.errno == errno.ENOSPC
    assert list(disk.iterdir()) == []
