"""Make a weight file small enough to pass on."""

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.constants import ENTROPY_SUFFIX, LATENT_FILTERS, LEVELS
from ..base.errors import UserError, say
from ..base.files import atomic_write, check_writable
from ..base.temporary import lock
from ..models.descriptions import MODELS
from .options import add_options, path, program

if TYPE_CHECKING:
    import numpy as np

_LARGE_DENSE = 10**6


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command compact."""
    start = program("compact")
    parser = commands.add_parser(
        "compact",
        prog=start,
        help="make a weight file small enough to pass on",
        description="Write a weight file again in about a quarter of its size: large kernels are\n"
        "rounded, all is compressed. It stays a weight file that plain Keras reads.",
        epilog=f"example:\n  {start} checkpoints/BestModel.h5 weights/MJLAT.h5",
    )
    parser.add_argument("weights", type=path, metavar="WEIGHTS", help="the file to read")
    parser.add_argument("out", type=path, metavar="OUT", help="the file to write")
    add_options(parser, "overwrite", overwrite={"help": "replace OUT and its entropy models"})
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compact a weight file and copy the entropy models beside it."""
    source, target, overwrite = options.weights, options.out, options.overwrite
    priors = _priors_beside(source)
    inputs = [source, *priors]
    for written in [target, *(_copy_path(prior, source, target) for prior in priors)]:
        check_writable(written, overwrite=overwrite, inputs=inputs)
    with lock(target):
        compact(source, target, overwrite)
        if priors:
            _copy_priors(source, target, overwrite)
    before, after = (path.stat().st_size / 1e6 for path in (source, target))
    say(f"{target}: {after:.1f} MB, was {before:.1f} MB")


def _priors_beside(weights: Path) -> list[Path]:
    """Find the entropy models beside a weight file, whichever model it belongs to."""
    paths = (
        weights.with_suffix(f"{of}{ENTROPY_SUFFIX}") for of in ("", *(f".{n}" for n in LEVELS))
    )
    return [path for path in paths if path.exists()]


def _copy_path(prior: Path, source: Path, target: Path) -> Path:
    return target.with_name(target.stem + prior.name.removeprefix(source.stem))


def _copy_priors(source: Path, target: Path, overwrite: bool) -> None:
    """Copy the entropy models beside `source`, as those of the rounded backbones of `target`."""
    from ..codec.entropy_model import copy_prior, entropy_file
    from ..models.build import build_model
    from ..models.weights import read_weights

    for description in (each for each in MODELS.values() if each.sees == "latent"):
        model = build_model(description)
        with contextlib.suppress(UserError):  # it is another one's
            read_weights(model.whole, target)
            for level, own in zip(LEVELS if description.multitask else [None], model.backbones):
                copied = entropy_file(target, level)
                copy_prior(entropy_file(source, level), own.analysis, copied, overwrite)


def compact(source: Path, target: Path, overwrite: bool = False) -> None:
    """Write the weight file `source` again in about a quarter of its size, as `target`.

    Kernels are rounded (see `rounding`): those of large dense layers to multiples of 0.004, those
    of a head's convolutions (3x3) of 2^-13, and those of the backbone (5x5) of 2^-15, or,
    where they make the latent, of 2^-18: the head normalises it, and so makes small errors large.
    With few different values, HDF5's own filters do the rest: scale-offset, or shuffle, and gzip.

    Raises:
        UserError: `source` is not there, or not a whole Keras HDF5 weight file.
    """
    import h5py

    from ..models.weights import attribute, check_sum, finite, opened, weight_sets, write_sum

    # In memory, since h5py hides a full disk; by HDF5's own driver, since it hides Ctrl-C, too,
    # where it calls Python.
    in_memory = {"driver": "core", "backing_store": False}
    with opened(source) as file, h5py.File("small.h5", "w", **in_memory) as small:
        group = file.get("model_weights", file)
        small.attrs.update({name: attribute(group, name) for name in group.attrs})
        sets = dict(weight_sets(source, file))
        check_sum(source, file, (each[()] for layer in sets.values() for each in layer))
        channels = 1  # of what a dense layer sees, flattened
        for layer in group.attrs["layer_names"]:
            copied = small.create_group(layer)
            names = group[layer].attrs
            copied.attrs.update({name: attribute(group[layer], name) for name in names})
            for weight_set in sets.get(layer if isinstance(layer, str) else layer.decode(), ()):
                weight, filters = _compacted(finite(source, weight_set), channels)
                name = weight_set.name.removeprefix(f"{group[layer].name}/")
                copied.create_dataset(name, data=weight, compression=9, **filters)
                channels = weight.shape[-1] if weight.ndim == 4 else channels
        write_sum(target, small)
        small.flush()
        written = small.id.get_file_image()
    with atomic_write(target, overwrite=overwrite) as beside:
        beside.write_bytes(written)


def _compacted(weight: "np.ndarray", channels: int) -> "tuple[np.ndarray, dict[str, Any]]":
    """`weight` rounded, and the filters it is to be stored with."""
    import numpy as np

    from ..models.rounding import rounded

    if weight.ndim == 2 and weight.size >= _LARGE_DENSE:
        taps = weight.reshape(-1, channels, weight.shape[1])
        taps = rounded(taps, lambda tap: np.rint(tap * 250) / 250)
        return taps.reshape(weight.shape), {"scaleoffset": 3}
    if weight.ndim == 4:
        backbone, makes_latent = weight.shape[0] == 5, weight.shape[3] == LATENT_FILTERS
        steps = 2 ** ((18 if makes_latent else 15) if backbone else 13)
        taps = weight.reshape(-1, *weight.shape[2:])
        weight = rounded(taps, lambda tap: np.rint(tap * steps) / steps).reshape(weight.shape)
    return weight, {"shuffle": True}
