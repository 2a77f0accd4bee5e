"""All that training needs to go on after a crash, in one file that is whole or not there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.files import write_arrays


def write_state(
    path: Path, run: dict[str, object], rows: list[dict], variables: Iterable[tf.Variable]
) -> None:
    """Write the values of `variables`, the log's `rows`, and what identifies the `run`."""
    about = json.dumps({"run": run, "rows": rows})
    values = {f"arr_{number}": variable.numpy() for number, variable in enumerate(variables)}
    write_arrays(path, about=about, **values)


def read_state(path: Path, run: dict[str, object], variables: Iterable[tf.Variable]) -> list[dict]:
    """Give `variables` the values in the file `path`; the log's rows, one an epoch that is done.

    Where there is no such file, training was stopped in its first epoch: no rows.

    Raises:
        UserError: the file is damaged, or of a run that differs from `run`.
    """
    if not path.exists():
        print(f"{path}: not there, so training begins at the first epoch")
        return []
    try:
        with np.load(path) as state:
            about = json.loads(str(state["about"]))
            values = [state[f"arr_{number}"] for number in range(len(state.files) - 1)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not the whole state of a training run ({error})") from None
    for name, value in json.loads(json.dumps(run)).items():
        if about["run"].get(name) != value:
            raise UserError(
                f"{path}: was trained with {name} {about['run'].get(name)}, not {value}; "
                "--resume goes on with the same settings only"
            )
    for variable, value in zip(variables, values):
        variable.assign(value)
    return about["rows"]
