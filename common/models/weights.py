"""Weight files: Keras 2 HDF5, in the layout of the published ones.

Layers pair by their order. Of a layer's name only the kind counts: Keras numbers layers as a
process makes them, so the same layer may be conv2d in one file and conv2d_37 in another.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import UserError
from common.facts import LATENT_FILTERS
from common.fast.rounding import rounded
from common.files import replaced

if TYPE_CHECKING:
    import tensorflow as tf

_LARGE_DENSE = 10**6
PUBLISHED = "the published weights are at zenodo.org, record 11080876"


def find_weights(path: Path, names: list[str]) -> Path:
    """The weight file at `path`: itself, or in a folder the first of `names` that is there.

    Raises:
        UserError: none is there; the message names what was looked for.
    """
    path = Path(path)
    if path.is_file():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    looked_for = f"no {' or '.join(names)} in it" if path.is_dir() else "no such folder or file"
    raise UserError(f"{path}: {looked_for}; {PUBLISHED}, and `train --help` tells how to make some")


def read_weights(model: tf.keras.Model, path: Path) -> None:
    """Fill `model` with the weights in the file `path`.

    Raises:
        UserError: the file is damaged, or holds another model: says what was expected and found.
    """
    import h5py

    expected = [
        (layer.name, [tuple(weight.shape) for weight in layer.weights])
        for layer in model.layers
        if layer.weights
    ]
    try:
        with h5py.File(path, "r") as file:
            found = _layers(file.get("model_weights", file))
            _compare(path, expected, found)
        model.load_weights(path)
    except (OSError, KeyError, RuntimeError) as error:
        raise UserError(f"{path}: not a whole Keras HDF5 weight file ({error})") from None


def _layers(group) -> list[tuple[str, list[tuple[int, ...]]]]:
    """Name and weight shapes of each layer that has weights, in the file's order."""
    layers = []
    for name in group.attrs["layer_names"]:
        name = name.decode() if isinstance(name, bytes) else name
        shapes = [group[name][weight].shape for weight in group[name].attrs["weight_names"]]
        if shapes:
            layers.append((name, shapes))
    return layers


def _compare(path: Path, expected: list, found: list) -> None:
    for number, (wanted, given) in enumerate(zip(expected, found), 1):
        if (_kind(wanted[0]), wanted[1]) != (_kind(given[0]), given[1]):
            raise UserError(
                f"{path}: holds another model: its layer {number} with weights should be "
                f"{_described(wanted)}, but is {_described(given)}"
            )
    if len(expected) != len(found):
        raise UserError(
            f"{path}: holds another model: {len(expected)} layers with weights expected, "
            f"{len(found)} found"
        )


def _kind(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _described(layer: tuple[str, list[tuple[int, ...]]]) -> str:
    name, shapes = layer
    return f"{_kind(name)} {' '.join('x'.join(map(str, shape)) for shape in shapes)}"


def write_weights(model: tf.keras.Model, path: Path) -> None:
    """Write the weights of `model` to the file `path`, whole or not at all."""
    with replaced(Path(path)) as beside:
        model.save_weights(beside, save_format="h5")


def compact(source: Path, target: Path) -> None:
    """Write the weight file `source` again in about a quarter of its size, as `target`.

    Kernels are rounded (see `rounding`): those of large dense layers to three decimals, those of a
    head's convolutions (3x3) to multiples of 2^-13, and those of the backbone (5x5) of 2^-15, or,
    where they make the latent, of 2^-18: the head normalises it, and so makes small errors large.
    With few different values, HDF5's own filters do the rest: scale-offset, or shuffle, and gzip.

    Raises:
        UserError: `source` is not there, or not a whole Keras HDF5 weight file.
    """
    import h5py

    written = io.BytesIO()  # so that what goes wrong here is the source's fault
    try:
        with h5py.File(source, "r") as file, h5py.File(written, "w") as small:
            small.attrs.update(file.attrs)
            channels = 1  # of what a dense layer sees, flattened
            for layer in file.attrs["layer_names"]:
                made = small.create_group(layer)
                made.attrs.update(file[layer].attrs)
                for name in file[layer].attrs["weight_names"]:
                    weight, filters = _compacted(file[layer][name][()], channels)
                    made.create_dataset(name, data=weight, compression=9, **filters)
                    channels = weight.shape[-1] if weight.ndim == 4 else channels
    except FileNotFoundError:
        raise UserError(f"{source}: no such file") from None
    except (OSError, KeyError, RuntimeError) as error:
        raise UserError(f"{source}: not a whole Keras HDF5 weight file ({error})") from None
    with replaced(target) as beside:
        beside.write_bytes(written.getbuffer())


def _compacted(weight: np.ndarray, channels: int) -> tuple[np.ndarray, dict[str, object]]:
    """`weight` rounded, and the filters it is to be stored with."""
    if weight.ndim == 2 and weight.size >= _LARGE_DENSE:
        taps = weight.reshape(-1, channels, weight.shape[1])
        taps = rounded(taps, lambda tap: np.rint(tap * 1e3) / 1e3)
        return taps.reshape(weight.shape), {"scaleoffset": 3}
    if weight.ndim == 4:
        backbone, makes_latent = weight.shape[0] == 5, weight.shape[3] == LATENT_FILTERS
        steps = 2 ** ((18 if makes_latent else 15) if backbone else 13)
        taps = weight.reshape(-1, *weight.shape[2:])
        weight = rounded(taps, lambda tap: np.rint(tap * steps) / steps).reshape(weight.shape)
    return weight, {"shuffle": True}
