"""Compaction of weight files: large kernels are rounded, and all weights are compressed."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..base.constants import LATENT_FILTERS
from ..base.files import atomic_write
from .hdf5 import (
    REGRESSION,
    check_checksum,
    list_regression,
    list_weights,
    open_weights,
    read_attribute,
    read_finite,
    write_checksum,
)
from .rounding import round_taps

_LARGE_DENSE = 10**6


def compact(source: Path, target: Path, overwrite: bool = False) -> None:
    """Write the weights in `source` to `target`, at about a quarter of the size.

    Kernels are rounded (see `rounding`) to multiples of a step, so that HDF5's filters (shuffle or
    scale-offset, then gzip) compress them well:

        0.004   large dense layers
        2^-13   convolutions of the head (3x3)
        2^-15   convolutions of the backbone (5x5)
        2^-18   the one that outputs the latent: the head's normalisation amplifies errors in it

    Raises:
        UserError: `source` does not exist, or is not a complete Keras HDF5 weight file.
    """
    # In memory, since h5py hides errors of a full disk; and with HDF5's own driver, since h5py's
    # calls Python, where it would hide Ctrl-C.
    in_memory = {"driver": "core", "backing_store": False}
    with open_weights(source) as file, h5py.File("small.h5", "w", **in_memory) as small:
        group = file.get("model_weights", file)
        small.attrs.update({name: read_attribute(group, name) for name in group.attrs})
        layers = dict(list_weights(source, file))
        check_checksum(source, file, (each[()] for sets in layers.values() for each in sets))
        channels = 1  # of the features that are flattened as a dense layer's input
        for layer in group.attrs["layer_names"]:
            copy = small.create_group(layer)
            names = group[layer].attrs
            copy.attrs.update({name: read_attribute(group[layer], name) for name in names})
            for dataset in layers.get(layer if isinstance(layer, str) else layer.decode(), ()):
                weight, filters = _compact_weight(read_finite(source, dataset), channels)
                name = dataset.name.removeprefix(f"{group[layer].name}/")
                copy.create_dataset(name, data=weight, compression=9, **filters)
                channels = weight.shape[-1] if weight.ndim == 4 else channels
        for name, dataset in list_regression(source, file).items():
            value = read_finite(source, dataset)
            filters = {"shuffle": True, "compression": 9} if value.ndim else {}
            small.create_dataset(f"{REGRESSION}/{name}", data=value, **filters)
        write_checksum(target, small)
        small.flush()
        content = small.id.get_file_image()
    with atomic_write(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def _compact_weight(weight: np.ndarray, channels: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Round `weight`; return it and the HDF5 filters to store it with."""
    if weight.ndim == 2 and weight.size >= _LARGE_DENSE:
        taps = weight.reshape(-1, channels, weight.shape[1])
        taps = round_taps(taps, lambda tap: np.rint(tap * 250) / 250)
        return taps.reshape(weight.shape), {"scaleoffset": 3}
    if weight.ndim == 4:
        backbone, makes_latent = weight.shape[0] == 5, weight.shape[3] == LATENT_FILTERS
        steps = 2 ** ((18 if makes_latent else 15) if backbone else 13)
        taps = weight.reshape(-1, *weight.shape[2:])
        weight = round_taps(taps, lambda tap: np.rint(tap * steps) / steps).reshape(weight.shape)
    return weight, {"shuffle": True}
