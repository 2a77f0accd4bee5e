"""The epochs of both trainings: resume, train, check, keep the best, log.

Keras's callbacks cannot replace this. BackupAndRestore and ModelCheckpoint do not restore our log's
rows, or Adam's moments bit-exactly, and write in place like CSVLogger, so a kill leaves a partial
file. TerminateOnNaN checks only the loss, but on some CPUs ReLU turns NaN into a number. So weights
are checked, too, and the error names the frames.
"""

import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..base.constants import SOFTWARE
from ..base.errors import UserError
from ..base.files import OUR_PNG, atomic_write
from ..base.framework import tf
from ..base.progress import Progress
from .checkpoint import LOG, read_state, write_state
from .settings import TrainingFiles


class Training(Protocol):
    """A model under training, and its data."""

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that training changes."""

    @property
    def monitor(self) -> str:
        """The measure that is least in the best epoch."""

    @property
    def baseline(self) -> float | None:
        """The validation loss of the median label, to plot."""

    def train_epoch(self, number: int, title: str) -> dict[str, float]:
        """Train and validate the epoch with a number, from 1; return its measures."""

    def describe(self, measures: dict[str, float]) -> str:
        """Describe the measures of an epoch to the user."""

    def write_best(self, path: Path) -> None:
        """Write the weights."""


def run_epochs(
    training: Training,
    run: dict[str, Any],
    files: TrainingFiles,
    *,
    epochs: int,
    resume: bool,
    report: Callable[[str], None],
) -> list[dict]:
    """Train up to `epochs`, and return the log's rows, one per epoch.

    Args:
        run: the training's `identity`.
        report: receives a line per epoch.

    Raises:
        UserError: losses or weights are NaN or infinite, or the state is of another training.
    """
    variables = training.variables
    rows = read_state(files.state, run, variables) if resume else []

    def write() -> bool:
        write_state(files.state, run, rows, variables)
        is_best = all(rows[-1][training.monitor] < row[training.monitor] for row in rows[:-1])
        if is_best:
            training.write_best(files.best)
        _write_log(files.log, rows, training.baseline)
        return is_best

    if rows:
        write()  # in case of a kill between the state and the other files
    for number in range(len(rows) + 1, epochs + 1):
        start, title = time.perf_counter(), f"epoch {number}/{epochs}"
        rows.append({"epoch": number, **training.train_epoch(number, title)})
        check_finite(f"epoch {number}", rows[-1], variables, files.best)
        best = ", the best so far" if write() else ""
        spent = _describe_time(time.perf_counter() - start, epochs - number)
        report(f"{title}: {training.describe(rows[-1])}{best}; {spent}")
    return rows


def _describe_time(seconds: float, more: int) -> str:
    """Describe the time of an epoch, and the time left for `more` epochs."""
    left = f", {datetime.timedelta(seconds=round(seconds * more))} left" if more else ""
    return f"{seconds:.0f} s{left}"


@tf.function
def all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Check that all values of all `tensors` are finite: bool [].

    These are tensors because TensorFlow never recognizes the variables of a bfloat16 model: it
    would trace this function again at every step.
    """
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in tensors])


def check_finite(
    when: str, measured: dict[str, float], variables: Sequence[tf.Variable], best: Path
) -> None:
    """Check that losses and variables are finite.

    Raises:
        UserError: some are NaN or infinite; the message names them and the `best` epoch's file.
    """
    losses = {name: value for name, value in measured.items() if name.endswith("loss")}
    wrong = [f"{name} is {value}" for name, value in losses.items() if not np.isfinite(value)]
    if not all_finite([each.value() for each in variables if each.dtype.is_floating]):
        wrong.append("weights are NaN or infinite")
    if wrong:
        kept = f"; the best epoch is kept in {best}" if best.exists() else ""
        raise UserError(f"{when}: {', '.join(wrong)}; a lower --learning_rate may help{kept}")


class EpochCheck(tf.keras.callbacks.Callback):
    """Report the progress of an epoch, and stop at a loss or weights that are NaN or infinite."""

    def __init__(
        self,
        model: tf.keras.Model,
        images: list[Path],
        batch_size: int,
        best: Path,
        progress: Progress,
    ):
        super().__init__()
        # Vectors take no time to check, and a layer's weights become NaN together.
        self.vectors = [each for each in model.trainable_weights if len(each.shape) == 1]
        self.batches = [images[n : n + batch_size] for n in range(0, len(images), batch_size)]
        self.best, self.progress, self.batch_size = best, progress, batch_size

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Check the loss and the weights after a step."""
        images = self.batches[batch]
        when = f"step {batch + 1} of this epoch, on {', '.join(map(str, images))}"
        check_finite(when, {"loss": logs["loss"]}, self.vectors, self.best)
        self.progress.update(len(images))
        self.progress.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_test_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Count the frames of a validation step."""
        self.progress.update(self.batch_size)


def _write_log(path: Path, rows: list[dict], baseline: float | None) -> None:
    """Write the rows as CSV, and plot their losses as a PNG beside it."""
    log = pd.DataFrame(rows)
    with atomic_write(path, LOG, overwrite=None) as temporary:
        log.to_csv(temporary, sep=";", index=False)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    losses = log.set_index("epoch")[["loss", "val_loss"]].set_axis(["train", "valid"], axis=1)
    losses.plot(ax=axes, ylabel="loss", marker=".")
    if baseline is not None:
        axes.axhline(baseline, color="grey", linestyle="--", label="valid, train's median label")
        axes.legend()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    with atomic_write(path.with_suffix(".png"), OUR_PNG, overwrite=None) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Software": SOFTWARE})
