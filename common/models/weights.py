"""Weight files: Keras 2 HDF5, in the layout of the published ones.

Layers pair by their order. Of a layer's name only the kind counts: Keras numbers layers as a
process makes them, so the same layer may be conv2d in one file and conv2d_37 in another.
"""

import contextlib
import os
import re
import signal
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.constants import LATENT_FILTERS
from ..base.errors import UserError
from ..base.files import atomic_write, check_regular

if TYPE_CHECKING:
    import h5py

    from ..base.framework import tf

# The largest of the six models has 26 million; the names of its layers and weights take 8 kB.
_MOST_WEIGHTS = 40_000_000
_LONGEST_NAMES = 100_000
# CPU seconds, which a busy machine does not lengthen; and seconds where it waits for ever.
_PATIENCE, _LONGEST_WAIT = 2, 30
_LABELS = "labels_"  # how attributes begin that say what levels are
_OFFSETS = "quantization_offsets"
_SUM = "checksum"  # our files have one; published files do not
# Whose file holds so many weights.
OWNERS = {
    2_887_363: ["a backbone"],
    8_078_384: ["REC", "E2E-REC"],
    9_783_225: ["LAT"],
    11_226_812: ["E2E-LAT"],
    13_886_928: ["MJ-REC"],
    26_070_091: ["MJ-LAT"],
}
PUBLISHED = "the published weights are at zenodo.org, record 11080876"


def find_weights(path: Path, names: list[str]) -> Path:
    """The weight file at `path`: itself, or in a folder the first of `names` that is there.

    Raises:
        UserError: none is there; the message names what was looked for.
    """
    path = Path(path)
    with contextlib.suppress(OSError):
        check_regular(path)
    if path.is_file():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    looked_for = f"no {' or '.join(names)} in it" if path.is_dir() else "no such folder or file"
    raise UserError(f"{path}: {looked_for}; {PUBLISHED}, and `train --help` tells how to make some")


def read_weights(model: "tf.keras.Model", path: Path) -> None:
    """Fill `model` with the weights in the file `path`.

    Raises:
        UserError: the file is damaged (by its checksum, if it has one), has NaN or infinite
            weights, or belongs to another model; the message says what was expected and found.
    """
    layers = [layer for layer in model.layers if layer.weights]
    expected = [(layer.name, [tuple(weight.shape) for weight in layer.weights]) for layer in layers]
    with opened(path) as file:
        stored = weight_sets(path, file)
        _compare(path, expected, [(name, [each.shape for each in sets]) for name, sets in stored])
        values = [[finite(path, weight_set) for weight_set in sets] for _, sets in stored]
        check_sum(path, file, chain.from_iterable(values))
    for layer, arrays in zip(layers, values):
        layer.set_weights(arrays)


@contextlib.contextmanager
def opened(path: Path) -> "Iterator[h5py.File]":
    """The weight file `path`, open; whatever HDF5 stumbles on in the block is the file's fault.

    Raises:
        UserError: the file is not there, cannot be read, or is damaged.
    """
    import h5py

    try:
        check_regular(path)
        if _crashes(path):
            raise UserError(f"{path}: so damaged that HDF5 crashes on it")
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path}: cannot be read ({os.strerror(error.errno)})") from None
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a whole Keras HDF5 weight file ({error})") from None


def _crashes(path: Path) -> bool:
    """Whether HDF5 crashes or hangs on a file, as it may on a damaged one: tried by a child.

    It looks at no values, so it takes some hundredths of a second.
    """
    import h5py

    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, _PATIENCE)
        signal.alarm(_LONGEST_WAIT)
        with h5py.File(path, "r") as file:
            weight_sets(path, file)
    finally:
        os._exit(0)  # what is wrong in another way the parent will find, too


def weight_sets(path: Path, file: "h5py.File") -> "list[tuple[str, list[h5py.Dataset]]]":
    """Of each layer that has weights its name and its data, not read yet, in the file's order.

    Raises:
        UserError: something in it is no floating-point number, or it is larger than any of the
            six models: so whatever it is, reading it takes no more memory than they do.
    """
    import h5py

    group = file.get("model_weights", file)
    layers, size = [], 0
    for name in _names(group, "layer_names"):
        layer = group[name]
        sets = [layer[weight] for weight in _names(layer, "weight_names")]
        for each in sets:
            if not isinstance(each, h5py.Dataset) or each.dtype.kind != "f":
                raise UserError(f"{path}: {each.name} holds no floating-point numbers")
            size += each.size
        if sets:
            layers.append((name, sets))
    if size > _MOST_WEIGHTS:
        raise UserError(f"{path}: holds {size:,} weights, more than any of the models has")
    return layers


def finite(path: Path, weight_set: "h5py.Dataset") -> np.ndarray:
    """The values of one of the `weight_sets` of the file `path`.

    Raises:
        UserError: some are NaN or infinite.
    """
    values = weight_set[()]
    if not np.isfinite(values).all():
        raise UserError(f"{path}: has NaN or infinite weights, in {weight_set.name}")
    return values


def attribute(group: "h5py.Group", name: str) -> Any:
    """An attribute of a group: words or numbers, no longer than the names of all layers.

    Raises:
        ValueError: it is longer, or of another kind: reading such can crash HDF5.
    """
    import h5py.h5t as kinds

    kept = group.attrs.get_id(name)
    words_or_numbers = kinds.TypeStringID, kinds.TypeIntegerID, kinds.TypeFloatID
    if not isinstance(kept.get_type(), words_or_numbers):
        raise ValueError(f"{name} is of an unknown kind")
    if np.prod(kept.shape, dtype=float) * kept.dtype.itemsize > _LONGEST_NAMES:
        raise ValueError(f"{name} is too long")
    return group.attrs[name]


def _names(group: "h5py.Group", name: str) -> list[str]:
    return [each.decode() if isinstance(each, bytes) else each for each in attribute(group, name)]


def _compare(path: Path, expected: list, found: list) -> None:
    size = sum(int(np.prod(shape)) for _, shapes in found for shape in shapes)
    whose = f"; by its size it is {' or '.join(OWNERS[size])}'s" if size in OWNERS else ""
    for number, (wanted, given) in enumerate(zip(expected, found), 1):
        if (_kind(wanted[0]), wanted[1]) != (_kind(given[0]), given[1]):
            raise UserError(
                f"{path}: holds another model: its layer {number} with weights should be "
                f"{_described(wanted)}, but is {_described(given)}{whose}"
            )
    if len(expected) != len(found):
        raise UserError(
            f"{path}: holds another model: {len(expected)} layers with weights expected, "
            f"{len(found)} found{whose}"
        )


def _kind(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _described(layer: tuple[str, list[tuple[int, ...]]]) -> str:
    name, shapes = layer
    return f"{_kind(name)} {' '.join('x'.join(map(str, shape)) for shape in shapes)}"


def write_weights(
    model: "tf.keras.Model",
    path: Path,
    labels: dict[str, str] | None = None,
    offsets: Sequence[np.ndarray] | None = None,
) -> None:
    """Write the weights of `model` to the file `path`, whole or not at all.

    `labels` says in words what the levels are that it learned from, for `labels_of`, and `offsets`
    what its head saw latents rounded to, if so, for `offsets_of`.
    """
    import h5py

    with atomic_write(Path(path), overwrite=True) as beside:
        model.save_weights(beside, save_format="h5")
        with h5py.File(beside, "a") as file:  # Keras passes over attributes that it does not know
            file.attrs.update({_LABELS + name: text for name, text in (labels or {}).items()})
            if offsets is not None:
                file.attrs[_OFFSETS] = np.stack(offsets)
            write_sum(Path(path), file)


def write_sum(path: Path, file: "h5py.File") -> None:
    """Store a checksum of the weights and attributes in a weight file; errors name `path`."""
    values = (each[()] for _, sets in weight_sets(path, file) for each in sets)
    file.attrs[_SUM] = _sum(path, file, values)


def check_sum(path: Path, file: "h5py.File", values: Iterable[np.ndarray]) -> None:
    """Verify the checksum, if `write_sum` stored one, against the values of the `weight_sets`.

    Raises:
        UserError: it does not match.
    """
    if _SUM in file.attrs and attribute(file, _SUM) != _sum(path, file, values):
        raise UserError(f"{path}: damaged: its checksum does not fit; copy or download it again")


def _sum(path: Path, file: "h5py.File", values: Iterable[np.ndarray]) -> int:
    """CRC-32 of the values, their names and shapes, and the attributes of `write_weights`."""
    sets = [each for _, sets in weight_sets(path, file) for each in sets]
    names = [name for name in sorted(file.attrs) if name.startswith(_LABELS) or name == _OFFSETS]
    told = [(name, np.asarray(attribute(file, name)).tobytes()) for name in names]
    sum_ = zlib.crc32(repr((told, [(each.name, each.shape) for each in sets])).encode())
    for value in values:
        sum_ = zlib.crc32(np.ascontiguousarray(value).data, sum_)
    return sum_


def labels_of(path: Path) -> dict[str, str]:
    """What `write_weights` was told of the levels; of other files nothing.

    Raises:
        UserError: the file is not there or damaged.
    """
    with opened(path) as file:
        names = [name for name in file.attrs if name.startswith(_LABELS)]
        return {name.removeprefix(_LABELS): str(attribute(file, name)) for name in names}


def offsets_of(path: Path) -> list[np.ndarray] | None:
    """What latents are rounded to integers plus, float32 [192] per backbone, before the head sees
    them; None where it sees them as they are, as in the published models.

    Raises:
        UserError: the file is not there or damaged.
    """
    with opened(path) as file:
        if _OFFSETS not in file.attrs:
            return None
        offsets = np.asarray(attribute(file, _OFFSETS), np.float32)
        if offsets.shape[1:] != (LATENT_FILTERS,) or not np.isfinite(offsets).all():
            raise ValueError(f"{_OFFSETS} are none")
        return list(offsets)
