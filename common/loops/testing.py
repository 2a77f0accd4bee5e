"""Predicting the levels of a folder of images, and measuring the error where levels are known."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from common.data.frames import frame_batches
from common.data.manifest import provenance
from common.errors import UserError
from common.files import replaced
from common.loops.device import choose_device
from common.loops.metrics import level_errors
from common.models.build import build_model, levels_of
from common.models.descriptions import LEVELS, Description
from common.models.inference import fast_form
from common.models.weights import read_weights


def prepare_model(description: Description, precision: str) -> tuple[tf.keras.Model, str]:
    """The model of `description`, freshly initialised, for the device it will run on: 'CPU', 'GPU'.

    With `precision` 'bfloat16' a GPU's model computes in it; a CPU's becomes `fast_form` later.
    """
    device = choose_device(precision)
    rounded = device == "GPU" and precision == "bfloat16"
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16" if rounded else "float32")
    return build_model(description), device


def predict(
    model: tf.keras.Model, batches: tf.data.Dataset, device: str, precision: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image numbers [batch] and levels float32 [batch, levels], batch by batch.

    The CPU takes the fast form of `model` a frame at a time: larger batches gain nothing there and
    only take memory.
    """
    model = levels_of(model)
    if device == "CPU":
        model = fast_form(model, precision)

    def levels_of_frame(frame: tf.Tensor) -> tf.Tensor:
        return tf.concat(tf.nest.flatten(model(frame[tf.newaxis], training=False)), axis=1)[0]

    @tf.function(reduce_retracing=True)
    def levels_of_batch(frames: tf.Tensor) -> tf.Tensor:
        frames = tf.cast(frames, tf.float32)
        if device == "CPU":
            signature = tf.TensorSpec([len(model.outputs)], tf.float32)
            return tf.map_fn(levels_of_frame, frames, fn_output_signature=signature)
        return tf.concat(tf.nest.flatten(model(frames, training=False)), axis=1)

    for numbers, frames in batches:
        yield numbers.numpy(), levels_of_batch(frames).numpy()


def test(
    description: Description,
    level: str | None,
    folder: Path,
    images: list[Path],
    true_levels: np.ndarray | None,
    weights_file: Path,
    result_path: Path,
    batch_size: int,
    precision: str,
    skip_bad: bool,
) -> None:
    """Predict the levels of the `images` in `folder` and write them to `result_path`.

    Writes, with `level` (None if multitask) in front of each name: test_results.csv (levels only,
    as the published code does), test_predictions.csv (with a header and image names) and, given
    `true_levels` float32 [images, 3], test_metrics.csv.

    Raises:
        UserError: the weights are not this model's, or an image is bad and `skip_bad` is not set.
    """
    model, device = prepare_model(description, precision)
    read_weights(model, weights_file)
    names = [level] if level else list(LEVELS)

    bad: list[UserError] = []
    kept = np.zeros(len(images), bool)
    predicted = np.zeros((len(images), len(names)), np.float32)
    batches = frame_batches(images, batch_size, bad)
    with tqdm(total=len(images), unit="frame", disable=None) as progress:
        for numbers, levels in predict(model, batches, device, precision):
            if bad and not skip_bad:
                break
            predicted[numbers], kept[numbers] = levels, True
            progress.update(len(numbers))
    if bad and not skip_bad:
        raise UserError(f"{bad[0]}; --skip_bad goes on without such images")
    for error in bad:
        print(f"skipped {error}", file=sys.stderr)
    if not kept.any():
        raise UserError(f"{folder}: not one of {len(images)} images can be read")
    if not np.isfinite(predicted).all():
        raise UserError(
            f"{weights_file}: gives levels that are no numbers; its weights are damaged"
        )

    table = pd.DataFrame(predicted, columns=names)[kept]
    prefix = level or ""
    with replaced(result_path / f"{prefix}test_results.csv") as beside:
        table.to_csv(beside, header=False, index=False, float_format="%.6f")
    if true_levels is not None:
        for name in names:
            table[f"{name}_label"] = true_levels[kept, LEVELS.index(name)]
    table.insert(0, "image", [images[n].relative_to(folder).as_posix() for n in kept.nonzero()[0]])
    with replaced(result_path / f"{prefix}test_predictions.csv") as beside:
        table.to_csv(beside, index=False, float_format="%.6f")
    print(
        f"{len(table)} images, {len(bad)} skipped: {result_path / f'{prefix}test_predictions.csv'}"
    )
    if true_levels is not None:
        errors = pd.DataFrame(
            {name: level_errors(table[name], table[f"{name}_label"]) for name in names}
        ).T.rename_axis("level")
        with replaced(result_path / f"{prefix}test_metrics.csv") as beside:
            errors.to_csv(beside, float_format="%.6g")
        print(_described(errors))
        made = provenance(folder.parent)
        if made and made.objective:
            print(f"Labels: {made.caption}.")


def _described(errors: pd.DataFrame) -> str:
    lines = ["level  mean error (95 % interval)  error of always saying the median"]
    for level, row in errors.iterrows():
        lines.append(
            f"{level}   {row.mean_absolute_error:5.2f}  ({row.interval_low:.2f} to "
            f"{row.interval_high:.2f})          {row.median_label_error:5.2f}  "
            f"(median {row.median_label:g})"
        )
    return "\n".join(lines)
