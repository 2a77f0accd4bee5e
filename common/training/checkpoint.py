"""All that training needs to go on after a crash, in one file that is whole or not there.

An epoch's state is written before its best weights, so where there are best weights there is a
state, and the state can make them again.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.arrays import write_arrays
from ..base.constants import ENTROPY_SUFFIX
from ..base.errors import UserError, say
from ..base.files import OUR_PNG, check_regular, check_writable, checksum
from ..base.temporary import lock

if TYPE_CHECKING:
    from ..base.framework import tf

_LARGEST_LOG = 2**26  # bytes of rows and settings
_ANEW = "another --checkpoint_path begins anew"
# The start of the files of a training run.
LOG = re.compile(b"epoch;")
STATE = re.compile(rb"PK\x03\x04.{26}about\.npy", re.DOTALL)


def check_outputs(best: Path, state: Path, log: Path, resume: bool) -> None:
    """Check that training replaces only its own files, and can write them.

    An existing best epoch and its entropy models are replaced only with --resume, which continues
    their training.

    Raises:
        UserError: a file of another run would be lost, or a file cannot be written.
    """
    check_writable(best, overwrite=True)
    begun = [best, *(path for path in best.parent.iterdir() if _is_prior(path, best))]
    for path in begun if not resume else []:
        if path.exists():
            message = "already exists; --resume goes on with its training"
            raise UserError(f"{path}: {message}, {_ANEW}")
    if best.exists() and not state.exists():
        raise UserError(f"{state}: not there, and --resume needs it beside {best.name}; {_ANEW}")
    for path, ours in ((state, STATE), (log, LOG), (log.with_suffix(".png"), OUR_PNG)):
        check_writable(path, ours, overwrite=None)


def _is_prior(path: Path, best: Path) -> bool:
    return path.name.startswith(f"{best.stem}.") and path.name.endswith(ENTROPY_SUFFIX)


@contextlib.contextmanager
def reserve(*files: Path) -> Iterator[None]:
    """Keep other training runs away from the files of this one.

    Raises:
        UserError: another run is using them.
    """
    with contextlib.ExitStack() as stack:
        if "TF_CONFIG" not in os.environ:  # several workers share one training
            for path in files:
                stack.enter_context(lock(path))
        yield


def identity(
    settings: NamedTuple, images: Sequence[Path], targets: Sequence[bytes], files: Sequence[Path]
) -> dict[str, Any]:
    """What a run is made of, beside its `settings`, for `write_state` to keep.

    Args:
        images: all that are read, by whose names and sizes they are known.
        targets: what is wanted of them, such as the levels.
        files: the weights that it starts from.
    """
    from ..base.framework import tf

    # Left out, so that runs from before there was the setting can be gone on with.
    usual = settings._field_defaults
    names = (f"{image.name} {image.stat().st_size}".encode("utf-8", "replace") for image in images)
    return {
        **{name: value for name, value in settings._asdict().items() if value != usual.get(name)},
        "frames": f"{len(images)} ({_short(names)})",
        "levels": _short(targets),
        "backbones": _short(file.read_bytes() for file in files),
        "tensorflow": tf.__version__,
    }


def _cosine(epochs: int | None) -> str:
    return f"--cosine over --epochs {epochs}," if epochs else "without --cosine"


def _short(parts: Iterable[bytes]) -> str:
    return checksum(parts)[:12]


def write_state(
    path: Path, run: dict[str, Any], rows: list[dict], variables: "Sequence[tf.Variable]"
) -> None:
    """Write the values of `variables`, the log's `rows`, and what identifies the `run`."""
    about = json.dumps({"run": run, "rows": rows})
    values = {f"arr_{number}": variable.numpy() for number, variable in enumerate(variables)}
    write_arrays(path, {"about": about, **values}, STATE, overwrite=None)


def read_state(path: Path, run: dict[str, Any], variables: "Sequence[tf.Variable]") -> list[dict]:
    """Give `variables` the values in the file `path`; the log's rows, one an epoch that is done.

    Where there is no such file, training was stopped in its first epoch: no rows.

    Raises:
        UserError: the file is damaged, or of a run that differs from `run`.
    """
    if not path.exists():
        say(f"{path}: not there, so training begins at the first epoch")
        return []
    import numpy as np

    from ..base.arrays import read_arrays

    most = _LARGEST_LOG + 2 * sum(variable.numpy().nbytes for variable in variables)
    try:
        check_regular(path)
        state = read_arrays(path, most)
        about = json.loads(str(state["about"]))
        before, rows = dict(about["run"]), list(about["rows"])
        values = [state[f"arr_{number}"] for number in range(len(state) - 1)]
    except (OSError, ValueError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise UserError(f"{path}: not the whole state of a training run ({error})") from None
    now = json.loads(json.dumps(run))
    for name in {**now, **before}:
        if before.get(name) != now.get(name):
            message = f"{name} {before.get(name)}, not {now.get(name)}"
            if name == "cosine":  # what the command line calls otherwise
                message = " not ".join(map(_cosine, (before.get(name), now.get(name))))
            raise UserError(
                f"{path}: was trained with {message}; "
                f"--resume goes on with the same settings and data only, {_ANEW}"
            )
    if [value.shape for value in values] != [tuple(each.shape) for each in variables]:
        raise UserError(f"{path}: the state of another model; {_ANEW}")
    for variable, value in zip(variables, values):
        number = value.dtype.kind != "f" or np.isfinite(value).all()
        if value.dtype != variable.dtype.as_numpy_dtype or not number:
            raise UserError(
                f"{path}: holds {value.dtype} values that no training run writes; {_ANEW}"
            )
    for variable, value in zip(variables, values):
        variable.assign(value)
    return rows
