"""Stage 2: training a predictor on frames whose levels are known."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from common.data.frames import decoded_frames, untuned
from common.device import choose_device
from common.errors import UserError
from common.facts import LEVELS
from common.fast.adam import Adam
from common.fast.recomputation import training_form
from common.files import replaced
from common.models.backbone import build_backbone
from common.models.build import JND_FRAME, build_model, split_model, start_from
from common.models.descriptions import Description
from common.models.weights import read_weights, write_weights
from common.training.features import cached_features
from common.training.state import read_state, write_state

# Of an end-to-end model's loss: squared error of the JND frame, absolute error of the level.
FRAME_WEIGHT, LEVEL_WEIGHT = 0.01, 0.99


class Split(NamedTuple):
    """The frames of train or valid, and what is to be made of them."""

    images: list[Path]
    levels: np.ndarray  # float32 [images, 3]
    level: str | None  # the one that is predicted; None: all three
    jnd_frames: list[Path] | None  # if trained end to end
    mirrored: int = 0  # so many images, the last ones, are seen mirrored


class Settings(NamedTuple):
    """What a training run is made of; a run is only resumed with the same."""

    model: str
    level: str | None  # that is predicted; if multitask, that picks the best epoch, or the sum
    batch_size: int
    learning_rate: float
    seed: int
    precision: str
    flip: bool  # each image is also seen mirrored
    roll: bool  # features are rolled round, anew in every epoch
    cosine: int | None  # the learning rate falls to 0 over so many epochs; None: it stays


class Files(NamedTuple):
    """What a training run writes."""

    best: Path  # weights of the best epoch
    state: Path  # all that --resume needs
    log: Path  # a line an epoch
    curve: Path  # the same as a picture
    tensorboard: Path | None
    cache_dir: Path | None  # features of frozen backbones; None: computed in every epoch


def train(
    description: Description,
    settings: Settings,
    train_split: Split,
    valid_split: Split,
    backbone_files: list[Path],
    files: Files,
    epochs: int,
    resume: bool,
) -> None:
    """Train the model up to `epochs`, keep the weights of its best epoch, and log every epoch.

    Losses: the mean absolute error of the level, the sum of the three if multitask; if end to end,
    0.01 x mean squared error of the JND frame + 0.99 x that of the level. The best epoch is that
    of the least validation loss, or of `settings.level`'s alone if multitask.

    Raises:
        UserError: a file that cannot be read, another model's weights, a loss that is no number,
            or a state of other settings.
    """
    tf.keras.utils.set_random_seed(settings.seed)
    device = choose_device(settings.precision)
    policy = "mixed_bfloat16" if settings.precision == "bfloat16" else "float32"
    tf.keras.mixed_precision.set_global_policy(policy)
    strategy = _strategy()
    if settings.flip:
        train_split = _with_mirrored(train_split)
    with strategy.scope():
        model = build_model(description)
        backbones = []
        for file in backbone_files:
            backbones.append(build_backbone())
            read_weights(backbones[-1], file)
        start_from(model, backbones)
        for name in model.output_names:
            if name != JND_FRAME:
                # A last ReLU that starts below zero for all frames would never learn.
                column = LEVELS.index(train_split.level or name[:4])
                model.get_layer(name).bias.assign([np.median(train_split.levels[:, column])])
        trained, inputs = model, None
        if files.cache_dir and not description.end_to_end:
            frozen, trained = split_model(model)
            inputs = [
                _features(frozen, split, files.cache_dir) for split in (train_split, valid_split)
            ]
        if device == "CPU" and strategy.num_replicas_in_sync == 1 and policy == "float32":
            trained = training_form(trained)
        _compile(trained, settings, -(-len(train_split.images) // settings.batch_size))

    levels = [name for name in trained.output_names if name != JND_FRAME]
    monitor = "val_loss"
    if description.multitask and settings.level:
        monitor = f"val_{settings.level}_output_loss"
    run = {**settings._asdict(), "frames": len(train_split.images)}
    variables = [*trained.variables, *trained.optimizer.variables]
    rows = read_state(files.state, run, variables) if resume else []
    if not _writes(strategy):
        # Reading a weight takes all workers, so all write; but only the first one's files count.
        elsewhere = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, elsewhere)
        files = Files(*(elsewhere / path.name for path in files[:4]), None, None)
    bad: list[UserError] = []
    count, size = len(train_split.images), settings.batch_size
    train_features, valid_features = inputs or (None, None)
    in_order = np.arange(len(valid_split.images))
    valid = _batches(valid_split, in_order, size, levels, valid_features, bad)
    board = [tf.keras.callbacks.TensorBoard(files.tensorboard)] if files.tensorboard else []
    for epoch in range(len(rows), epochs):
        # The order depends on seed and epoch alone, so a resumed run sees the same.
        random = np.random.default_rng((settings.seed, epoch))
        order = random.permutation(count)
        shares = random.random((count, 2)) if settings.roll else None
        title = f"epoch {epoch + 1}/{epochs}"
        with tqdm(total=count, desc=title, disable=None, leave=False) as bar, _first_of(bad):
            history = trained.fit(
                _batches(train_split, order, size, levels, train_features, bad, shares),
                validation_data=valid,
                initial_epoch=epoch,
                epochs=epoch + 1,
                verbose=0,
                callbacks=[_watched(bar, train_split.images, order, size, bad), *board],
            )
        row = {name: values[0] for name, values in history.history.items()}
        best = all(row[monitor] < earlier[monitor] for earlier in rows)
        rows.append({"epoch": epoch + 1, **row})
        if best:
            write_weights(model, files.best)
        with replaced(files.log) as beside:
            pd.DataFrame(rows).to_csv(beside, sep=";", index=False)
        write_state(files.state, run, rows, variables)
        _draw(files.curve, rows)
        print(_epoch_line(rows[-1], epochs, levels, train_split, valid_split), flush=True)


def _strategy() -> tf.distribute.Strategy:
    """Several machines where TF_CONFIG names them, several GPUs where there are, else this one."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _writes(strategy: tf.distribute.Strategy) -> bool:
    """Whether the files of this process count: of several workers, those of the first do."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id == 0


def _with_mirrored(split: Split) -> Split:
    jnd_frames = split.jnd_frames and split.jnd_frames * 2
    levels = np.tile(split.levels, (2, 1))
    return Split(split.images * 2, levels, split.level, jnd_frames, len(split.images))


def _features(frozen: tf.keras.Model, split: Split, cache_dir: Path) -> list[list[Path]]:
    """The files of features, for each backbone: of the images, and of the mirrored ones if any."""
    straight = split.images[: len(split.images) - split.mirrored]
    files = [cached_features(frozen, straight, cache_dir)]
    if split.mirrored:
        files.append(cached_features(frozen, straight, cache_dir, mirrored=True))
    return [list(of_backbone) for of_backbone in zip(*files)]


def _compile(model: tf.keras.Model, settings: Settings, steps: int) -> None:
    """Give `model` its losses and optimizer; an epoch has `steps`."""
    losses = {name: "mse" if name == JND_FRAME else "mae" for name in model.output_names}
    end_to_end = JND_FRAME in losses
    weights = {
        name: (FRAME_WEIGHT if name == JND_FRAME else LEVEL_WEIGHT) if end_to_end else 1.0
        for name in losses
    }
    metrics = {JND_FRAME: [psnr, ssim, "mae"]} if end_to_end else None
    rate = settings.learning_rate
    if settings.cosine:
        rate = tf.keras.optimizers.schedules.CosineDecay(rate, settings.cosine * steps)
    optimizer = Adam(rate)
    model.compile(optimizer, losses, loss_weights=weights, metrics=metrics)
    optimizer.build(model.trainable_variables)
    if len(model.outputs) > 1:
        # Keras would make the means of each output in the first step, and trace that step again.
        model.compiled_loss.build(model.outputs)
        model.compiled_metrics.build(model.outputs, model.outputs)


def psnr(true: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Peak signal-to-noise ratio in dB of each frame [batch, height, width, 3], 0 to 255."""
    return tf.image.psnr(true, made, 255)


def ssim(true: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Structural similarity of each frame [batch, height, width, 3], 0 to 255."""
    return tf.image.ssim(true, made, 255)


def _batches(
    split: Split,
    order: np.ndarray,
    batch_size: int,
    outputs: list[str],
    features: list[list[Path]] | None,
    bad: list[UserError],
    shares: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches (inputs, targets by output name) of a split in `order`, read ahead of their use.

    Inputs are frames, or what `_features` gave, each rolled round by its `shares` [images, 2] of
    height and width. A frame that cannot be read is left out and its error added to `bad`.
    """
    columns = [LEVELS.index(split.level or name[:4]) for name in outputs]
    levels = tf.constant(split.levels[:, columns])
    straight = len(split.images) - split.mirrored

    def gather(numbers: np.ndarray) -> list[np.ndarray]:
        # Mapped anew for each batch, or pages once read would count as this process's memory.
        mapped = [[np.load(path, mmap_mode="r") for path in paths] for paths in features]
        return [
            np.stack([rolled(halves[n // straight][n % straight], n) for n in numbers])
            for halves in mapped
        ]

    def rolled(feature: np.ndarray, number: int) -> np.ndarray:
        if shares is None:
            return feature
        by = (shares[number] * feature.shape[:2]).astype(int)
        return np.roll(feature, by, axis=(0, 1))

    def stored(numbers: tf.Tensor) -> tuple[tf.Tensor, ...]:
        arrays = tf.numpy_function(gather, [numbers], [tf.float32] * len(features))
        shapes = [np.load(paths[0], mmap_mode="r").shape[1:] for paths in features]
        return numbers, *(tf.ensure_shape(a, (None, *shape)) for a, shape in zip(arrays, shapes))

    def turned(number: tf.Tensor, *frames: tf.Tensor) -> tuple[tf.Tensor, ...]:
        mirrored = number >= straight
        return number, *(tf.where(mirrored, frame[:, ::-1], frame) for frame in frames)

    def batch(numbers: tf.Tensor, *arrays: tf.Tensor) -> tuple:
        arrays = [tf.cast(array, tf.float32) for array in arrays]
        wanted = tf.split(tf.gather(levels, numbers), len(outputs), axis=1)
        targets = dict(zip(outputs, wanted))
        if split.jnd_frames:
            targets[JND_FRAME] = arrays.pop()
        return arrays[0] if len(arrays) == 1 else tuple(arrays), targets

    if features:
        data = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        data = data.map(stored, tf.data.AUTOTUNE)
    else:
        frames = [split.images, *([split.jnd_frames] if split.jnd_frames else [])]
        data = decoded_frames(frames, order, bad).map(turned).batch(batch_size)
    data = data.map(batch, tf.data.AUTOTUNE).prefetch(2)
    options = untuned()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


@contextlib.contextmanager
def _first_of(bad: list[UserError]) -> Iterator[None]:
    """Raise the first of the errors that the block adds to `bad`, whatever else it may raise."""
    try:
        yield
    finally:
        if bad:
            raise bad[0]


def _watched(
    bar: tqdm, images: list[Path], order: np.ndarray, batch_size: int, bad: list[UserError]
) -> tf.keras.callbacks.Callback:
    """Moves the bar on, and stops at a file that cannot be read or a loss that is no number."""

    def after_batch(step: int, logs: dict[str, float]) -> None:
        numbers = order[step * batch_size : (step + 1) * batch_size]
        if bad:
            raise bad[0]
        if not np.isfinite(logs["loss"]):
            names = ", ".join(str(images[number]) for number in numbers)
            raise UserError(
                f"the loss is {logs['loss']} at step {step + 1} of this epoch ({names}); "
                "a lower --learning_rate may help; the last good epoch is kept"
            )
        bar.update(len(numbers))
        bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    return tf.keras.callbacks.LambdaCallback(on_batch_end=after_batch)


def _epoch_line(
    row: dict, epochs: int, levels: list[str], train_split: Split, valid_split: Split
) -> str:
    """What a person wants to know of an epoch: validation errors beside the median label's."""
    told = []
    for name in levels:
        column = LEVELS.index(train_split.level or name[:4])
        median = np.median(train_split.levels[:, column])
        baseline = np.abs(valid_split.levels[:, column] - median).mean()
        error = row.get(f"val_{name}_loss", row["val_loss"])
        told.append(f"{LEVELS[column]} {error:.2f} (median {baseline:.2f})")
    errors = ", ".join(told)
    return f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.3f}; error on valid: {errors}"


def _draw(path: Path, rows: list[dict]) -> None:
    """The losses of all epochs as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("loss", "train"), ("val_loss", "valid")):
        axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], label=label)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    with replaced(path) as beside:
        figure.savefig(beside, dpi=120)
