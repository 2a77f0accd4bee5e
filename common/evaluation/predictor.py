"""Predicting the levels of a folder of images, and measuring the error where levels are known."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from common.codecs import h264
from common.codecs.codec import CODECS
from common.data.frames import frame_batches, read_frame
from common.data.manifest import Provenance
from common.data.side_by_side import write_side_by_side
from common.device import choose_device
from common.errors import UserError
from common.evaluation.metrics import level_errors
from common.facts import HEIGHT, LEVELS, WIDTH
from common.fast.striped import fast_form
from common.files import replaced
from common.models.build import build_model, levels_of
from common.models.descriptions import Description
from common.models.weights import read_weights

# So many images are told one by one.
FEW = 10


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
    made: Provenance | None,
    weights_file: Path,
    result_path: Path,
    batch_size: int,
    precision: str,
    skip_bad: bool,
) -> None:
    """Predict the levels of the `images` in `folder` and write them to `result_path`.

    Writes, with `level` (None if multitask) in front of each name: test_results.csv (levels only,
    as the published code does), test_predictions.csv (with a header and image names), given
    `true_levels` float32 [images, 3] test_metrics.csv, and of FEW images, where `made` says what a
    level is, test_frames.png: each beside itself encoded at the first level predicted.

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
    if len(table) <= FEW:
        print(_image_lines(table, names))
    if true_levels is not None:
        errors = pd.DataFrame(
            {name: level_errors(table[name], table[f"{name}_label"]) for name in names}
        ).T.rename_axis("level")
        with replaced(result_path / f"{prefix}test_metrics.csv") as beside:
            errors.to_csv(beside, float_format="%.6g")
        print(_described(errors))
        if made and made.objective:
            print(f"Labels: {made.caption}.")
    if made and len(table) <= FEW:
        picture = result_path / f"{prefix}test_frames.png"
        _write_frames(picture, folder, table, names[0], made)
        print(f"each image beside itself encoded at the predicted {names[0]}: {picture}")


def _image_lines(table: pd.DataFrame, names: list[str]) -> str:
    """The levels of each image, with the true ones and errors where they are known."""
    width = max(len("image"), *table.image.str.len())
    known = f"{names[0]}_label" in table
    lines = ["image".ljust(width) + "".join(f"{n:>7}{'   true  error' * known}" for n in names)]
    for _, row in table.iterrows():
        lines.append(row.image.ljust(width))
        for name in names:
            lines[-1] += f"{row[name]:7.1f}"
            if known:
                label = row[f"{name}_label"]
                lines[-1] += f"{label:7.1f}{row[name] - label:+7.1f}"
    return "\n".join(lines)


def _write_frames(
    path: Path, folder: Path, table: pd.DataFrame, level: str, made: Provenance
) -> None:
    """Each image, as the model saw it, beside itself encoded at the predicted `level`."""
    codec, rows = CODECS[made.codec], []
    for _, row in table.iterrows():
        frame = read_frame(folder / row.image)[..., ::-1]
        stream = codec.encode(frame, codec.nearest(row[level]))
        caption = f"{codec.unit} {row[level]:.1f}"
        if f"{level}_label" in row:
            caption += f" (true: {row[f'{level}_label']:g})"
        seen = codec.decode(stream)
        decibels = h264.measure(frame, seen, ["psnr"])["psnr"]
        rate = h264.bits(stream) / (HEIGHT * WIDTH)
        caption += f", {rate:.2f} bits per pixel, {decibels:.1f} dB"
        rows.append([(row.image, frame), (caption, seen)])
    title = [f"Left: the image. Right: encoded at the predicted {level}, as a whole number."]
    if f"{level}_label" in table:
        title.append(f"True levels: {made.caption}.")
    write_side_by_side(path, rows, title)


def _described(errors: pd.DataFrame) -> str:
    lines = ["level  mean error (95 % interval)  error of always saying the median"]
    for level, row in errors.iterrows():
        lines.append(
            f"{level}   {row.mean_absolute_error:5.2f}  ({row.interval_low:.2f} to "
            f"{row.interval_high:.2f})          {row.median_label_error:5.2f}  "
            f"(median {row.median_label:g})"
        )
    if len(errors) > 1:
        error, baseline = errors.mean()[["mean_absolute_error", "median_label_error"]]
        ratio = f"(ratio {error / baseline:.2f})" if baseline else ""
        lines.append(f"mean   {error:5.2f}{'':25}{baseline:5.2f}  {ratio}".rstrip())
    return "\n".join(lines)
