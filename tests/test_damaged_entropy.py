"""Entropy models that are damaged, or not one: told in one line, and never taken for whole."""

import numpy as np
import pytest

from common.base.errors import UserError
from common.codec.entropy_model import EntropyModel, find_entropy_model
from common.models.backbone import build_backbone
from tests.damage import damaged

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def backbone():
    return build_backbone((None, None, 3)).whole


@pytest.fixture(scope="module")
def entropy_model():
    return EntropyModel()


def test_damage_is_told(backbone, entropy_model, tmp_path):
    path = tmp_path / "Img.entropy.npz"
    entropy_model.write(path, backbone)
    data = path.read_bytes()
    for seed in range(300):
        path.write_bytes(damaged(data, seed))
        try:
            read = EntropyModel()
            read.read(path, backbone)
        except UserError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            with pytest.raises(UserError, match="is not in"):
                find_entropy_model(entropy_model.checksum, [tmp_path])
        else:
            assert read.checksum == entropy_model.checksum, seed


@pytest.mark.parametrize("change", ["name", "shape", "kind", "nan", "more", "backbone"])
def test_what_is_none_is_told(backbone, entropy_model, tmp_path, change):
    path = tmp_path / "Img.entropy.npz"
    entropy_model.write(path, backbone)
    with np.load(path) as file:
        values = {name: file[name] for name in file.files}
    name = next(name for name in values if name != "backbone")
    if change == "name":
        values["other"] = values.pop(name)
    elif change == "shape":
        values[name] = values[name][:-1]
    elif change == "kind":
        values[name] = values[name].astype(np.float64)
    elif change == "nan":
        values[name] = values[name] * np.nan
    elif change == "more":
        values["more"] = values[name]
    else:
        del values["backbone"]
    np.savez(path, **values)
    with pytest.raises(UserError, match=r"Img\.entropy\.npz: not an entropy model, or damaged"):
        EntropyModel().read(path, backbone)
