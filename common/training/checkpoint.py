"""The state file, from which a training continues bit-exactly after a crash.

An epoch's state is written before its best weights, so best weights always have a state file from
which they can be written again.
"""

import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..base.arrays import read_arrays, write_arrays
from ..base.constants import ENTROPY_SUFFIX
from ..base.errors import UserError, explain
from ..base.files import OUR_PNG, check_regular, check_writable, checksum
from ..base.framework import tf
from ..base.temporary import lock, temporary_folder

_log = logging.getLogger(__name__)

_LARGEST_LOG = 2**26  # bytes of rows and settings
_ANEW = "another --checkpoint_path starts a new training"
# Patterns that the files of a training begin with.
LOG = re.compile(b"epoch;")
STATE = re.compile(rb"PK\x03\x04.{26}about\.npy", re.DOTALL)


def check_outputs(best: Path, state: Path, log: Path, resume: bool) -> None:
    """Check that a training can write its files and replaces only its own.

    An existing best epoch and its entropy models are replaced only with --resume, which continues
    their training.

    Raises:
        UserError: a file of another training would be lost, or a file cannot be written.
    """
    check_writable(best, overwrite=True)
    existing = [best] if best.exists() else []
    for path in existing + [path for path in best.parent.iterdir() if _is_entropy_of(path, best)]:
        if not resume:
            raise UserError(f"{path}: already exists; --resume continues its training, {_ANEW}")
    if best.exists() and not state.exists():
        raise UserError(f"{state}: no such file, and --resume needs it beside {best.name}; {_ANEW}")
    for path, ours in ((state, STATE), (log, LOG), (log.with_suffix(".png"), OUR_PNG)):
        check_writable(path, ours, overwrite=None)


def _is_entropy_of(path: Path, best: Path) -> bool:
    return path.name.startswith(f"{best.stem}.") and path.name.endswith(ENTROPY_SUFFIX)


@contextlib.contextmanager
def reserve(*files: Path) -> Iterator[None]:
    """Lock the files of a training, and give it a temporary folder.

    A killed TensorFlow leaves generated sources in the temporary folder, so it gets one of ours,
    which the next run removes.

    Raises:
        UserError: another training is using the files.
    """
    with contextlib.ExitStack() as stack:
        if "TF_CONFIG" not in os.environ:  # several workers share one training
            for path in files:
                stack.enter_context(lock(path))
        folder = stack.enter_context(temporary_folder())
        stack.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = str(folder)
        yield


def identity(
    settings: Mapping[str, Any],
    images: Sequence[Path],
    targets: Sequence[bytes],
    files: Sequence[Path],
) -> dict[str, Any]:
    """Return what identifies a training, including its `settings`, for `write_state` to record.

    Args:
        images: all images that are read, identified by names and sizes.
        targets: the training targets, such as the levels.
        files: the initial weights.
    """
    names = (f"{image.name} {image.stat().st_size}".encode("utf-8", "replace") for image in images)
    return {
        **settings,
        "frames": f"{len(images)} ({_short_checksum(names)})",
        "levels": _short_checksum(targets),
        "backbones": _short_checksum(file.read_bytes() for file in files),
        "tensorflow": tf.__version__,
    }


def _short_checksum(parts: Iterable[bytes]) -> str:
    return checksum(parts)[:12]


def write_state(
    path: Path, run: dict[str, Any], rows: list[dict], variables: "Sequence[tf.Variable]"
) -> None:
    """Write the values of `variables`, the log's `rows`, and the identity of the `run`."""
    about = json.dumps({"run": run, "rows": rows})
    values = {f"arr_{number}": variable.numpy() for number, variable in enumerate(variables)}
    write_arrays(path, {"about": about, **values}, STATE, overwrite=None)


def read_state(path: Path, run: dict[str, Any], variables: "Sequence[tf.Variable]") -> list[dict]:
    """Assign the values in a state file to `variables`; return the log's rows, one per epoch.

    If there is no file, training was stopped in its first epoch, and there are no rows.

    Raises:
        UserError: the file is damaged, or its training differs from `run`.
    """
    if not path.exists():
        _log.warning("%s: no such file, so training starts with the first epoch", path)
        return []
    most = _LARGEST_LOG + 2 * sum(variable.numpy().nbytes for variable in variables)
    try:
        check_regular(path)
        state = read_arrays(path, most)
        about = json.loads(str(state["about"]))
        before, rows = dict(about["run"]), list(about["rows"])
        values = [state[f"arr_{number}"] for number in range(len(state) - 1)]
    except (OSError, ValueError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise UserError(f"{path}: not a complete state of a training ({explain(error)})") from None
    _check_same_run(path, before, json.loads(json.dumps(run)))
    if [value.shape for value in values] != [tuple(each.shape) for each in variables]:
        raise UserError(f"{path}: the state of another model; {_ANEW}")
    for variable, value in zip(variables, values):
        finite = value.dtype.kind != "f" or np.isfinite(value).all()
        if value.dtype != variable.dtype.as_numpy_dtype or not finite:
            raise UserError(f"{path}: holds {value.dtype} values that no training writes; {_ANEW}")
    for variable, value in zip(variables, values):
        variable.assign(value)
    return rows


def _check_same_run(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in {**now, **before}:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        message = f"{name} {old}, not {new}"
        if name == "cosine":  # the options are --cosine and --epochs
            old, new = (f"--cosine over --epochs {n}," if n else "no --cosine," for n in (old, new))
            message = f"{old} not {new.rstrip(',')}"
        raise UserError(
            f"{path}: was trained with {message}; "
            f"--resume needs the same settings and data, {_ANEW}"
        )
