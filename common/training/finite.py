"""Whether training has gone wrong: losses or weights that are NaN or infinite.

The loss alone does not tell: some processors' ReLU makes a number of NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.errors import UserError


@tf.function
def all_finite(weights: Sequence[tf.Variable]) -> tf.Tensor:
    """Whether all values of all `weights` are: bool []."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(weight)) for weight in weights])


def check_finite(
    when: str, measured: dict[str, float], weights: Sequence[tf.Variable], best: Path
) -> None:
    """Look at an epoch's losses and at the weights that it ends with.

    Raises:
        UserError: some are NaN or infinite; says which, and where the `best` epoch is, if any.
    """
    losses = {name: value for name, value in measured.items() if name.endswith("loss")}
    wrong = [f"{name} is {value}" for name, value in losses.items() if not np.isfinite(value)]
    if not all_finite(list(weights)):
        wrong.append("weights are NaN or infinite")
    if wrong:
        kept = f"; the best epoch is kept in {best}" if best.exists() else ""
        raise UserError(f"{when}: {', '.join(wrong)}; a lower --learning_rate may help{kept}")
