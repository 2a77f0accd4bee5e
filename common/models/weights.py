"""Weight files: Keras 2 HDF5, in the layout of the published ones.

Layers are matched by order and kind, not by name: Keras numbers layers in the order in which a
process makes them, so the same layer may be conv2d in one file and conv2d_37 in another.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import h5py
import numpy as np

from ..base.constants import LATENT_FILTERS
from ..base.errors import UserError
from ..base.files import atomic_write
from ..base.framework import tf
from .hdf5 import (
    LABELS_PREFIX,
    OFFSETS,
    REGRESSION,
    check_checksum,
    list_regression,
    list_weights,
    open_weights,
    read_attribute,
    read_finite,
    write_checksum,
)
from .labels import Labels
from .regression import Regression

# Titles of models by number of weights.
OWNERS = {
    2_887_363: ["a backbone"],
    8_078_384: ["REC", "E2E-REC"],
    9_783_225: ["LAT"],
    11_226_812: ["E2E-LAT"],
    13_886_928: ["MJ-REC"],
    26_070_091: ["MJ-LAT"],
}
Layer = tuple[str, list[tuple[int, ...]]]  # name, and the shapes of its weights


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """Content of a weight file."""

    layers: list[tuple[str, list[np.ndarray]]]  # names and weights of layers that have weights
    labels: Labels  # on which the model was trained; empty fields if the file has none
    # Latents are rounded to integers plus these, float32 [192] per backbone, before the head sees
    # them; None if the head sees unrounded latents, as in the published models.
    offsets: list[np.ndarray] | None
    regression: Regression | None = None  # beside the head; only `refine` adds one


def read_weight_file(path: Path) -> WeightFile:
    """Read a weight file, whichever model it belongs to.

    Raises:
        UserError: the file is damaged, or has NaN or infinite weights.
    """
    with open_weights(path) as file:
        layers = [
            (name, [read_finite(path, dataset) for dataset in datasets])
            for name, datasets in list_weights(path, file)
        ]
        check_checksum(path, file, chain.from_iterable(values for _, values in layers))
        return WeightFile(
            layers=layers,
            labels=_read_labels(file),
            offsets=_read_offsets(file),
            regression=_read_regression(path, file),
        )


def read_weights(model: "tf.keras.Model", path: Path) -> WeightFile:
    """Read a weight file, and assign its weights to `model`.

    Raises:
        UserError: as `read_weight_file`, or the file belongs to another model; the message names
            the first difference.
    """
    own = [layer for layer in model.layers if layer.weights]
    expected = [(layer.name, [tuple(weight.shape) for weight in layer.weights]) for layer in own]
    weight_file = read_weight_file(path)
    _compare(
        path, expected, [(name, [each.shape for each in sets]) for name, sets in weight_file.layers]
    )
    for layer, (_, values) in zip(own, weight_file.layers):
        layer.set_weights(values)
    return weight_file


def read_recorded_labels(path: Path) -> Labels:
    """Read the labels on which the model in a weight file was trained; raises as `open_weights`."""
    with open_weights(path) as file:
        return _read_labels(file)


def _read_labels(file: "h5py.File") -> Labels:
    names = [name for name in file.attrs if name.startswith(LABELS_PREFIX)]
    return Labels.from_fields(
        {name.removeprefix(LABELS_PREFIX): str(read_attribute(file, name)) for name in names}
    )


def _read_offsets(file: "h5py.File") -> list[np.ndarray] | None:
    if OFFSETS not in file.attrs:
        return None
    offsets = np.asarray(read_attribute(file, OFFSETS), np.float32)
    if offsets.shape[1:] != (LATENT_FILTERS,) or not np.isfinite(offsets).all():
        raise ValueError(f"invalid {OFFSETS}")
    return list(offsets)


def _read_regression(path: Path, file: "h5py.File") -> Regression | None:
    if not (datasets := list_regression(path, file)):
        return None
    return Regression.from_arrays({name: dataset[()] for name, dataset in datasets.items()})


def _compare(path: Path, expected: list[Layer], found: list[Layer]) -> None:
    size = sum(int(np.prod(shape)) for _, shapes in found for shape in shapes)
    owners = f"; by its size it is {' or '.join(OWNERS[size])}'s" if size in OWNERS else ""
    for number, (wanted, given) in enumerate(zip(expected, found), 1):
        if (_kind(wanted), wanted[1]) != (_kind(given), given[1]):
            raise UserError(
                f"{path}: holds another model: its layer {number} with weights should be "
                f"{_describe(wanted)}, but is {_describe(given)}{owners}"
            )
    if len(expected) != len(found):
        raise UserError(
            f"{path}: holds another model: {len(expected)} layers with weights expected, "
            f"{len(found)} found{owners}"
        )


def _kind(layer: Layer) -> str:
    return re.sub(r"_\d+$", "", layer[0])


def _describe(layer: Layer) -> str:
    return f"{_kind(layer)} {' '.join('x'.join(map(str, shape)) for shape in layer[1])}"


def write_weights(
    model: "tf.keras.Model",
    path: Path,
    labels: Labels | None = None,
    offsets: Sequence[np.ndarray] | None = None,
) -> None:
    """Write the weights of `model` to a file; `labels` and `offsets` are as in `WeightFile`."""

    with atomic_write(Path(path), overwrite=True) as temporary:
        model.save_weights(temporary, save_format="h5")
        with h5py.File(temporary, "a") as file:  # Keras ignores attributes that it does not know
            fields = labels.to_fields() if labels else {}
            file.attrs.update({LABELS_PREFIX + name: text for name, text in fields.items()})
            if offsets is not None:
                file.attrs[OFFSETS] = np.stack(offsets)
            write_checksum(Path(path), file)


def add_regression(source: Path, target: Path, regression: Regression, overwrite: bool) -> None:
    """Write a copy of a weight file that also has a regression, in place of any that it had.

    Raises:
        UserError: `source` is damaged, or `target` exists and `overwrite` is false.
    """
    read_weight_file(source)
    with atomic_write(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(source.read_bytes())
        with h5py.File(temporary, "a") as file:
            file.pop(REGRESSION, None)
            for name, array in regression.to_arrays().items():
                file.create_dataset(f"{REGRESSION}/{name}", data=array)
            write_checksum(target, file)
