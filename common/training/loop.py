"""What both trainings do with their epochs: go on where they were, look, keep the best, log.

The loss alone does not tell that training has gone wrong: some processors' ReLU makes a number of
NaN. So weights are looked at, too.
"""

import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..base.constants import SOFTWARE
from ..base.errors import UserError
from ..base.files import OUR_PNG, atomic_write
from ..base.framework import tf
from .checkpoint import LOG, read_state, write_state


class TrainingFiles(NamedTuple):
    """What a training run writes; beside the log the same as a picture."""

    best: Path  # weights of the best epoch
    state: Path  # all that --resume needs
    log: Path  # a line per epoch


def run_epochs(
    files: TrainingFiles,
    run: dict[str, Any],
    variables: Sequence[tf.Variable],
    *,
    epochs: int,
    resume: bool,
    train_epoch: Callable[[int], dict[str, float]],
    described: Callable[[dict[str, float]], str],
    write_best: Callable[[Path], None],
    monitor: str = "val_loss",
    baseline: float | None = None,
) -> list[dict]:
    """Train up to `epochs`; the log's rows, one per epoch.

    Args:
        run: what identifies the run (see `identity`).
        variables: all that training changes.
        train_epoch: trains and validates the epoch of that number, from 1; what it measured.
        described: what a person wants to know of that.
        write_best: writes the weights as they are to a file.
        monitor: what the best epoch has the least of.
        baseline: the validation loss of what any model has to beat, to be drawn.

    Raises:
        UserError: losses or weights that are NaN or infinite, or a state of another run.
    """
    rows = read_state(files.state, run, variables) if resume else []

    def is_best() -> bool:
        return all(rows[-1][monitor] < row[monitor] for row in rows[:-1])

    def write() -> None:
        write_state(files.state, run, rows, variables)
        if is_best():
            write_best(files.best)
        _write_log(files.log, rows, baseline)

    if rows:
        write()  # what a kill after the state came before
    for number in range(len(rows) + 1, epochs + 1):
        start = time.perf_counter()
        rows.append({"epoch": number, **train_epoch(number)})
        check_finite(f"epoch {number}", rows[-1], variables, files.best)
        write()
        best = ", the best so far" if is_best() else ""
        took = _took(time.perf_counter() - start, epochs - number)
        print(f"epoch {number}/{epochs}: {described(rows[-1])}{best}; {took}", flush=True)
    return rows


def _took(seconds: float, more: int) -> str:
    """What an epoch took, and, if there are `more`, what is left if they take as long."""
    left = f", {datetime.timedelta(seconds=round(seconds * more))} left" if more else ""
    return f"{seconds:.0f} s{left}"


def _write_log(path: Path, rows: list[dict], baseline: float | None) -> None:
    with atomic_write(path, LOG, overwrite=None) as beside:
        pd.DataFrame(rows).to_csv(beside, sep=";", index=False)
    _draw(path.with_suffix(".png"), rows, baseline)


@tf.function
def all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether all values of all `tensors` are: bool [].

    For tensors, not variables: those of a model in bfloat16 never look the same to TensorFlow,
    which would trace this anew at every step, and search longer each time.
    """
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in tensors])


def check_finite(
    when: str, measured: dict[str, float], variables: Sequence[tf.Variable], best: Path
) -> None:
    """Look at losses, and at the variables that they come with.

    Raises:
        UserError: some are NaN or infinite; says which, and where the `best` epoch is, if any.
    """
    losses = {name: value for name, value in measured.items() if name.endswith("loss")}
    wrong = [f"{name} is {value}" for name, value in losses.items() if not np.isfinite(value)]
    if not all_finite([each.value() for each in variables if each.dtype.is_floating]):
        wrong.append("weights are NaN or infinite")
    if wrong:
        kept = f"; the best epoch is kept in {best}" if best.exists() else ""
        raise UserError(f"{when}: {', '.join(wrong)}; a lower --learning_rate may help{kept}")


def _draw(path: Path, rows: list[dict], baseline: float | None) -> None:
    """The losses of all epochs as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    losses = pd.DataFrame(rows).set_index("epoch")[["loss", "val_loss"]]
    axes = figure.subplots()
    losses.set_axis(["train", "valid"], axis=1).plot(ax=axes, ylabel="loss", marker=".")
    if baseline is not None:
        axes.axhline(baseline, color="grey", linestyle="--", label="valid, always train's median")
        axes.legend()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    with atomic_write(path, OUR_PNG, overwrite=None) as beside:
        figure.savefig(beside, dpi=120, metadata={"Software": SOFTWARE})
